#!/usr/bin/env bash
# Installs the Debian packages that `make test` needs. Asks for root only when
# one is missing, and does nothing when all are there.
#
# The emulated boards of test/system need QEMU 10: older ones lack the I2C of the
# Raspberry Pi and the i.MX8M Plus EVK. On Debian 12 that is in backports, which
# are added for it, from the mirror that the machine uses already.
set -euo pipefail
cd "$(dirname "$0")/.."

# command to look for, and the package that brings it
needed="gcc:gcc git:git openssl:openssl curl:curl
  depmod:kmod dtc:device-tree-compiler cpio:cpio xz:xz-utils mke2fs:e2fsprogs
  swtpm:swtpm swtpm_setup:swtpm-tools tpm2_getcap:tpm2-tools
  qemu-aarch64-static:qemu-user-static qemu-system-aarch64:qemu-system-arm"

# The oldest QEMU that the emulated boards run on.
qemu_needed=10

missing=()
for pair in $needed; do
  PATH=$PATH:/usr/sbin:/sbin command -v "${pair%%:*}" >/dev/null || missing+=("${pair#*:}")
done
# The race detector links against libc's headers.
[ -e /usr/include/stdlib.h ] || missing+=(libc6-dev)
# openssl's TPM provider is a library.
compgen -G '/usr/lib/*/ossl-modules/tpm2.so' >/dev/null || missing+=(tpm2-openssl)

qemu_version() { # of the QEMU that is installed, its first number; 0 for none
  local line
  line=$(qemu-system-aarch64 --version 2>/dev/null | head -n 1) || true
  line=${line#*version }
  line=${line%%.*}
  echo "${line:-0}"
}
if [ "$(qemu_version)" -lt $qemu_needed ]; then
  missing+=(qemu-system-arm qemu-user-static)
fi
[ ${#missing[@]} -eq 0 ] && exit 0

echo "installing: ${missing[*]}" >&2
if ! command -v apt-get >/dev/null; then
  echo "scripts/deps.sh: this is not a Debian machine" >&2
  echo "scripts/deps.sh: hint: install these yourself, QEMU from version $qemu_needed on: ${missing[*]}" >&2
  exit 1
fi
root=
if [ "$(id -u)" -ne 0 ]; then
  command -v sudo >/dev/null || { echo "scripts/deps.sh: hint: run as root: apt-get install ${missing[*]}" >&2; exit 1; }
  root=sudo
fi
export DEBIAN_FRONTEND=noninteractive
$root apt-get update -qq
options=()
candidate=$(apt-cache policy qemu-system-arm | sed -n 's/ *Candidate: *\(.*\)/\1/p')
if dpkg --compare-versions "${candidate#*:}" lt $qemu_needed; then
  suite=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")-backports
  source=$(scripts/mirror.sh "$suite")
  if [ "$($root cat /etc/apt/sources.list.d/mecha-backports.list 2>/dev/null)" != "$source" ]; then
    echo "adding $suite to the sources of apt" >&2
    echo "$source" | $root tee /etc/apt/sources.list.d/mecha-backports.list >/dev/null
    $root apt-get update -qq
  fi
  options=(-t "$suite")
fi
# -t is for QEMU alone: the rest stays at the release's own versions.
for package in "${missing[@]}"; do
  case $package in
  qemu-*) $root apt-get install -y -qq --no-install-recommends "${options[@]}" "$package" >/dev/null ;;
  *) $root apt-get install -y -qq --no-install-recommends "$package" >/dev/null ;;
  esac
done
[ "$(qemu_version)" -ge $qemu_needed ] || {
  echo "scripts/deps.sh: QEMU $(qemu_version) is too old, the emulated boards need $qemu_needed" >&2
  exit 1
}

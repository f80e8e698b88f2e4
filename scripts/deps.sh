#!/usr/bin/env bash
# Installs the Debian packages that `make test` needs. Asks for root only when
# one is missing, and does nothing when all are there.
set -euo pipefail

# command to look for, and the package that brings it
needed="gcc:gcc git:git openssl:openssl curl:curl"

missing=()
for pair in $needed; do
  command -v "${pair%%:*}" >/dev/null || missing+=("${pair#*:}")
done
# The race detector links against libc's headers.
[ -e /usr/include/stdlib.h ] || missing+=(libc6-dev)
[ ${#missing[@]} -eq 0 ] && exit 0

echo "installing: ${missing[*]}" >&2
if ! command -v apt-get >/dev/null; then
  echo "scripts/deps.sh: this is not a Debian machine" >&2
  echo "scripts/deps.sh: hint: install these yourself: ${missing[*]}" >&2
  exit 1
fi
root=
if [ "$(id -u)" -ne 0 ]; then
  command -v sudo >/dev/null || { echo "scripts/deps.sh: hint: run as root: apt-get install ${missing[*]}" >&2; exit 1; }
  root=sudo
fi
export DEBIAN_FRONTEND=noninteractive
$root apt-get update -qq
$root apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null

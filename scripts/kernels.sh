#!/usr/bin/env bash
# Fetches Debian's kernels for ARM, with their device trees, into the cache of the
# emulated boards, and prints its folder. What is there is not fetched again: the
# packages that were resolved once stay until the folder is deleted.
#
# The folder holds one link per flavour (arm64, cloud-arm64, armmp, rpi), to what
# its package unpacks to, with modules.dep made, and PACKAGES, which names them.
set -euo pipefail
cd "$(dirname "$0")/.."
PATH=$PATH:/usr/sbin:/sbin

cache=${MECHA_LAB:-${XDG_CACHE_HOME:-$HOME/.cache}/mecha-agent/lab}
# flavour of the kernel, and Debian's architecture
flavours="arm64:arm64 cloud-arm64:arm64 armmp:armhf rpi:armel"

complete() {
  local f
  for f in $flavours; do [ -e "$cache/${f%%:*}/.complete" ] || return 1; done
}
mkdir -p "$cache"
exec 9>"$cache/.lock"
flock 9 # another test run may be fetching
if complete; then
  echo "$cache"
  exit 0
fi

release=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
suite=$release
[ "$release" != bookworm ] || suite=bookworm-backports # its own kernels are older than the boards
scripts/mirror.sh "$suite" >"$cache/sources.list"

fetch() { # FLAVOUR ARCHITECTURE
  local flavour=$1 arch=$2 apt package work version
  [ ! -e "$cache/$flavour/.complete" ] || return 0
  work=$cache/apt-$arch
  mkdir -p "$work/lists/partial" "$work/archives/partial"
  : >"$work/status"
  apt=(-qq -o "APT::Architecture=$arch" -o "APT::Architectures=$arch"
    -o "Dir::State::Lists=$work/lists" -o "Dir::State::status=$work/status" -o "Dir::Cache=$work"
    -o "Dir::Etc::SourceList=$cache/sources.list" -o Dir::Etc::SourceParts=/dev/null -o APT::Sandbox::User=root
    -o Acquire::Retries=3 -o Acquire::Languages=none)
  [ -e "$work/updated" ] || apt-get "${apt[@]}" update
  touch "$work/updated"
  package=$(apt-cache "${apt[@]}" depends "linux-image-$flavour" | sed -n 's/.*Depends: \(linux-image-[0-9].*\)/\1/p' | head -n 1)
  [ -n "$package" ] || { echo "scripts/kernels.sh: $suite has no linux-image-$flavour for $arch" >&2; return 1; }
  echo "fetching $package ($arch)" >&2
  rm -rf "$cache/tree-$flavour"
  mkdir -p "$cache/tree-$flavour"
  (cd "$work/archives" && rm -f "${package}_"*.deb && apt-get "${apt[@]}" download "$package")
  dpkg-deb -x "$work/archives/${package}_"*.deb "$cache/tree-$flavour"
  rm -f "$work/archives/${package}_"*.deb
  version=${package#linux-image-}
  version=${version%-unsigned}
  # The packages come without modules.dep, which an installation makes. depmod
  # looks below lib/modules; newer packages put the modules below usr/lib.
  [ -e "$cache/tree-$flavour/lib" ] || ln -s usr/lib "$cache/tree-$flavour/lib"
  depmod -b "$cache/tree-$flavour" "$version"
  ln -sfn "vmlinuz-$version" "$cache/tree-$flavour/boot/vmlinuz"
  ln -sfn "$version" "$cache/tree-$flavour/lib/modules/current"
  ln -sfn "../lib/linux-image-$version" "$cache/tree-$flavour/boot/dtbs"
  [ -d "$cache/tree-$flavour/boot/dtbs" ] || ln -sfn "../usr/lib/linux-image-$version" "$cache/tree-$flavour/boot/dtbs"
  ln -sfn "tree-$flavour" "$cache/$flavour"
  echo "$flavour $arch $package" >>"$cache/PACKAGES"
  touch "$cache/$flavour/.complete"
}

for f in $flavours; do fetch "${f%%:*}" "${f#*:}"; done
rm -rf "$cache"/apt-* "$cache/sources.list"
echo "$cache"

#!/usr/bin/env bash
# mirror.sh SUITE: prints a line for apt's sources with SUITE of Debian, from the
# mirror that this machine's own sources name.
set -euo pipefail

suite=$1
release=${suite%-backports}
mirror=$(apt-get indextargets --format '$(REPO_URI) $(RELEASE)' 'Created-By: Packages' |
  awk -v release="$release" '$2 == release { print $1; exit }')
if [ -z "$mirror" ]; then
  echo "scripts/mirror.sh: apt has no source for $release" >&2
  echo "scripts/mirror.sh: hint: add one to /etc/apt/sources.list" >&2
  exit 1
fi
echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror $suite main"

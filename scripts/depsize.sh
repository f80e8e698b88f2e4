#!/usr/bin/env bash
# Prints what each direct dependency weighs in the linux/arm64 programs: the sum
# of the sizes of its packages' symbols (go tool nm), in kB. The figures of
# docs/architecture.md come from here.
set -euo pipefail
cd "$(dirname "$0")/.."
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
modules=$(go mod edit -json | awk -F'"' '/"Path"/{p=$4} /"Indirect"/{p=""} /}/{if (p != "") print p; p=""}' | sort -u)
for cmd in agent gateway; do
  GOOS=linux GOARCH=arm64 CGO_ENABLED=0 go build -trimpath -tags grpcnotrace -o "$dir/$cmd" "./cmd/$cmd"
  GOOS=linux GOARCH=arm64 CGO_ENABLED=0 go build -trimpath -tags grpcnotrace -ldflags '-s -w' -o "$dir/$cmd.stripped" "./cmd/$cmd"
  go tool nm -size "$dir/$cmd" >"$dir/$cmd.nm"
done
printf '%-34s %8s %8s\n' module agent gateway
for m in $modules; do
  printf '%-34s' "$m"
  for cmd in agent gateway; do
    # nm writes the dots of the last path element as %2e
    esc=$(printf '%s' "$m" | sed 's#\.#[.]#g')
    awk -v m="$esc" '$3 != "U" && $4 ~ m {s += $2} END {printf " %8.0f", s / 1000}' "$dir/$cmd.nm"
  done
  echo
done
printf '%-34s %8d %8d\n' 'stripped program, kB' "$(($(stat -c %s "$dir/agent.stripped") / 1000))" "$(($(stat -c %s "$dir/gateway.stripped") / 1000))"

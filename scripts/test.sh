#!/usr/bin/env bash
# Runs every check of the project and ends with one summary. A step that fails
# does not keep the others from running.
set -uo pipefail
cd "$(dirname "$0")/.."

passed=0 failed=0 summary=()

step() { # NAME COMMAND...: runs, times and records one step
  local name=$1 start=$SECONDS result=ok
  shift
  printf '\n== %s\n' "$name"
  if "$@"; then passed=$((passed + 1)); else failed=$((failed + 1)) result=FAILED; fi
  summary+=("$(printf '%-8s %5ds  %s' "$result" $((SECONDS - start)) "$name")")
}

tests() { # ARGUMENTS of go test; the summary counts tests and names skipped ones
  go test -json "$@" | go run ./scripts/testsum
}

generated() { # regenerating proto/ must change nothing
  local before
  before=$(git status --porcelain -- proto; git diff -- proto)
  make -s generate || return 1
  [ "$before" = "$(git status --porcelain -- proto; git diff -- proto)" ] ||
    { echo "proto/ is not as the generators leave it: make generate, and commit" >&2; return 1; }
}

tidy() {
  go mod tidy -diff && go mod verify >/dev/null &&
    (cd tools && go mod tidy -diff >/dev/null || { echo "tools/go.mod is not tidy" >&2; exit 1; })
}

fuzz() { # every fuzz target of the tree, for a few seconds each
  local seconds=${FUZZ_SECONDS:-4} file target found=0 rc=0
  while IFS=: read -r file target; do
    target=${target#func }
    target=${target%%(*}
    found=$((found + 1))
    printf '%s %s\n' "$(dirname "$file")" "$target"
    go test -tags grpcnotrace -run '^$' -fuzz "^$target\$" -fuzztime "${seconds}s" -fuzzminimizetime 1s "./$(dirname "$file")" >.fuzz.log 2>&1 ||
      { cat .fuzz.log; rc=1; }
  done < <(git grep -oE '^func Fuzz[A-Za-z0-9_]+\(' -- '*_test.go')
  rm -f .fuzz.log
  [ "$found" -gt 0 ] || { echo "no fuzz target found" >&2; return 1; }
  return $rc
}

step "lint (gofmt, vet, staticcheck)" scripts/lint.sh
step "generated code is as the generators leave it" generated
step "go.mod and tools/go.mod are tidy" tidy
step "tests, with the race detector" tests -race -tags grpcnotrace ./...
step "the simulated board in the agent, with the race detector" tests -race -tags grpcnotrace,sim ./cmd/agent
step "fuzzing, ${FUZZ_SECONDS:-4} s each" fuzz
step "static binaries for arm64, armv7, armv6, amd64" make -s build

printf '\n== summary\n'
printf '%s\n' "${summary[@]}"
printf '\n%d passed, %d failed\n' "$passed" "$failed"
[ "$failed" -eq 0 ]

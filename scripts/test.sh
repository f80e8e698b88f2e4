#!/usr/bin/env bash
# Runs every check of the project and ends with one summary. A step that fails
# does not keep the others from running.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1

passed=0 failed=0 summary=()
counts=$(mktemp) # of the step's tests, by testsum
trap 'rm -f "$counts"; kill $(jobs -p) 2>/dev/null' EXIT

step() { # NAME COMMAND...: runs, times and records one step
  local name=$1 start=$SECONDS result=ok
  shift
  printf '\n== %s\n' "$name"
  : >"$counts"
  if "$@"; then passed=$((passed + 1)); else failed=$((failed + 1)) result=FAILED; fi
  summary+=("$(printf '%-8s %5ds  %s' "$result" $((SECONDS - start)) "$name")$(sed 's/^/: /' "$counts")")
}

testsum() { go run ./scripts/testsum -counts "$counts"; }

tests() { # ARGUMENTS of go test; the summary counts tests and names skipped ones
  go test -json "$@" | testsum
}

# Every unit test on another architecture, as static as the programs that ship.
# The emulator is told the oldest CPU that they are for, so that an instruction
# which that CPU lacks ends the test. Left out are the tests of the developer's
# machine, which ask nothing of the architecture that they are built for:
#   .          arch_test.go runs go list and go build over the source
#   scripts/   programs that the Makefile starts on the developer's machine
#   test/      starts QEMU with boards of its own
# go vet has read all of it already (scripts/lint.sh).
emulated() { # GOARCH EMULATOR
  local packages
  packages=$(go list ./... | grep -vE '/mecha-agent(/(scripts|test)(/.*)?)?$') || return 1
  (
    export GOARCH=$1 GOARM=6 CGO_ENABLED=0 MECHA_EMULATOR=$2
    code=0
    # shellcheck disable=SC2086 # one word a package
    go test -json -exec "$MECHA_EMULATOR" -vet off -tags grpcnotrace $packages || code=1
    go test -json -exec "$MECHA_EMULATOR" -vet off -tags grpcnotrace,sim ./cmd/agent || code=1
    exit $code
  ) | testsum
}

generated() { # regenerating proto/ must change nothing
  local before
  before=$(git status --porcelain -- proto; git diff -- proto)
  make -s generate || return 1
  [ "$before" = "$(git status --porcelain -- proto; git diff -- proto)" ] ||
    { echo "proto/ is not as the generators leave it: make generate, and commit" >&2; return 1; }
}

tidy() {
  go mod tidy -diff && go mod verify >/dev/null || return 1
  (cd tools && go mod tidy -diff >/dev/null) || { echo "tools/go.mod is not tidy" >&2; return 1; }
}

# How long a target is fuzzed, in seconds. CI gives more to what reads evidence and
# PEM of strangers: all that these folders and names hold, so that a new one joins.
fuzz_seconds() { # FOLDER TARGET
  if [ -n "${FUZZ_SECONDS:-}" ]; then
    echo "$FUZZ_SECONDS"
  elif [ -n "${CI:-}" ] && [[ "$1 $2" =~ ^(gateway/attest|keystore/.*|identity)\ |CSR|PEM|Cert|Evidence ]]; then
    echo 30
  else
    echo 4
  fi
}

fuzz_one() { # FOLDER TARGET
  local try log seconds
  seconds=$(fuzz_seconds "$1" "$2")
  log=$(mktemp) || return 1
  for try in 1 2; do
    if go test -tags grpcnotrace -run '^$' -fuzz "^$2\$" -fuzztime "${seconds}s" -fuzzminimizetime 1s -parallel 1 "./$1" >"$log" 2>&1; then
      echo "$1 $2: $(grep '^fuzz: elapsed' "$log" | tail -n 1)"
      rm -f "$log"
      return 0
    fi
    # go test says this, and names no input, when its time is up while a worker is
    # slow to answer. What fails has an input.
    grep -q 'context deadline exceeded' "$log" && ! grep -q 'Failing input' "$log" || break
  done
  { echo "$1 $2: FAILED"; cat "$log"; } >&2
  rm -f "$log"
  return 1
}

fuzz() { # every fuzz target of the tree, two at a time where there are two cores
  local all file target running=0 rc=0 most=2
  [ "$(nproc)" -ge 2 ] || most=1
  all=$(git grep -oE '^func Fuzz[A-Za-z0-9_]+\(' -- '*_test.go') || { echo "no fuzz target found" >&2; return 1; }
  while IFS=: read -r file target; do
    target=${target#func }
    target=${target%%(*}
    if [ "$running" -ge "$most" ]; then
      wait -n || rc=1
      running=$((running - 1))
    fi
    fuzz_one "$(dirname "$file")" "$target" </dev/null &
    running=$((running + 1))
  done <<<"$all"
  for (( ; running > 0; running--)); do wait -n || rc=1; done
  return $rc
}

step "lint (gofmt, vet, staticcheck)" scripts/lint.sh
step "Debian's kernels for ARM are in the cache" scripts/kernels.sh
step "generated code is as the generators leave it" generated
step "go.mod and tools/go.mod are tidy" tidy
step "tests, with the race detector" tests -race -tags grpcnotrace ./...
step "the simulated board in the agent, with the race detector" tests -race -tags grpcnotrace,sim ./cmd/agent
step "tests on arm64, as on a Cortex-A53" emulated arm64 "qemu-aarch64-static -cpu cortex-a53"
step "tests on arm/v6, as on a Raspberry Pi Zero" emulated arm "qemu-arm-static -cpu arm1176"
step "emulated boards, from power to certificate" tests -tags grpcnotrace,system -timeout 30m ./test/system
step "fuzzing, $(fuzz_seconds . .) s each, $(fuzz_seconds keystore/tpm .) s what reads evidence and PEM" fuzz
step "static binaries for arm64, armv7, armv6, amd64" make -s build

printf '\n== summary\n'
printf '%s\n' "${summary[@]}"
printf '\n%d passed, %d failed\n' "$passed" "$failed"
[ "$failed" -eq 0 ]

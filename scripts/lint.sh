#!/usr/bin/env bash
# Reads all of the code that ships, tests included: gofmt, go vet (also for the
# boards' architectures) and staticcheck.
set -euo pipefail
cd "$(dirname "$0")/.."

tool() { go tool -modfile=tools/go.mod "$@"; }

unformatted=$(git ls-files '*.go' | xargs gofmt -l)
if [ -n "$unformatted" ]; then
  printf 'not formatted by gofmt:\n%s\n' "$unformatted" >&2
  exit 1
fi
go vet -tags grpcnotrace ./...
go vet -tags grpcnotrace,sim ./cmd/agent
go vet -tags grpcnotrace,system ./test/system
GOARCH=arm64 go vet -tags grpcnotrace ./cmd/... ./hw/... ./board/... ./keystore/... ./identity/...
GOARCH=arm GOARM=6 go build -tags grpcnotrace -o /dev/null ./cmd/agent
tool staticcheck -tags grpcnotrace,sim,system ./...
tool buf build

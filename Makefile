# Mecha-Agent. `make` alone prints the targets.
GO      ?= go
# grpcnotrace leaves golang.org/x/net/trace out, which would pull in
# text/template and switch the linker's dead-code elimination off.
TAGS    := grpcnotrace
VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
LDFLAGS := -s -w -X main.version=$(VERSION)
TOOL    := $(GO) tool -modfile=tools/go.mod
BUILD   := CGO_ENABLED=0 $(GO) build -trimpath -tags $(TAGS) -ldflags '$(LDFLAGS)'

PLATFORMS := linux_arm64 linux_armv7 linux_armv6 linux_amd64

.DEFAULT_GOAL := help
.PHONY: help build $(PLATFORMS) demo test system-test lint generate clean

help: ## print this
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: ## watch a simulated board get its identity (KEEP=1 leaves it running)
	@echo "building ..."
	@CGO_ENABLED=0 $(GO) build -trimpath -tags $(TAGS),sim -ldflags '$(LDFLAGS)' -o bin/demo/mecha-agent ./cmd/agent
	@$(BUILD) -o bin/demo/mecha-gateway ./cmd/gateway
	@CGO_ENABLED=0 $(GO) build -tags $(TAGS) -o bin/demo/demo ./scripts/demo
	@bin/demo/demo -bin bin/demo -dir .demo $(if $(KEEP),-keep)

test: ## install what tests need, then run all of them
	@scripts/deps.sh
	@scripts/test.sh

system-test: ## boot emulated ARM boards and provision them (BOARDS='raspi3b|virt' picks some)
	@scripts/deps.sh
	$(GO) test -tags $(TAGS),system -timeout 30m -count 1 -v -run 'Test(Boards|TPM)/^($(or $(BOARDS),.*))$$' ./test/system

build: $(PLATFORMS) ## build static binaries into bin/<os>_<arch>/
	@ls -l bin/linux_*/mecha-*

linux_arm64: export GOARCH = arm64
linux_armv7: export GOARCH = arm
linux_armv7: export GOARM = 7
linux_armv6: export GOARCH = arm
linux_armv6: export GOARM = 6
linux_amd64: export GOARCH = amd64
$(PLATFORMS): export GOOS = linux
$(PLATFORMS):
	$(BUILD) -o bin/$@/mecha-agent ./cmd/agent
	$(BUILD) -o bin/$@/mecha-gateway ./cmd/gateway

lint: ## gofmt, vet, staticcheck, the contract compiles
	scripts/lint.sh

generate: ## regenerate proto/ from the contract
	$(TOOL) buf generate

clean: ## remove what the other targets made
	rm -rf bin .demo

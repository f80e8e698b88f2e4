# Mecha-Agent. `make` alone prints the targets.
GO      ?= go
TAGS    := grpcnotrace
LDFLAGS := -s -w
TOOL    := $(GO) tool -modfile=tools/go.mod

.DEFAULT_GOAL := help
.PHONY: help generate

help: ## print this
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

generate: ## regenerate proto/ from the contract
	$(TOOL) buf generate

# The front door. Each target is a name for something that `cargo xtask` does.

.DEFAULT_GOAL := help
.PHONY: help demo demo-local setup build images check test fuzz fmt lint clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "%-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: ## Show in a real cluster what Bartizan does; sets up what is missing
	cargo xtask demo

demo-local: ## Show in a real kernel what the engine does, without Kubernetes
	cargo xtask demo --local

setup: ## Install and download everything that building and testing need
	cargo xtask setup

build: ## Build the kernel programs, the enforcer, the operator and the CLI
	cargo xtask build-ebpf
	cargo build --locked --release --package bartizan
	cargo build --locked --release --package bartizan-enforcer --features embed
	cargo build --locked --release --package bartizan-operator

images: ## Build the container images into target/images
	cargo xtask images

check: ## Run all tests that need no virtual machine
	cargo xtask test --quick

test: ## Run all tests and checks, also in real kernels
	cargo xtask test

fuzz: ## Run each fuzzer for five minutes
	cargo xtask fuzz --seconds 300

fmt: ## Format the code
	cargo fmt --all
	cargo fmt --manifest-path fuzz/Cargo.toml

lint: ## Run clippy with warnings as errors
	cargo clippy --locked --all-targets -- -D warnings

clean: ## Remove what was built; downloads stay in ~/.cache/bartizan
	cargo clean

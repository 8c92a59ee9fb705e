# What a user runs is what CI runs.
.PHONY: help run test test-docker check check-full bench fmt openapi setup
.DEFAULT_GOAL := help

# The crates, each checked alone: a workspace build unifies features and hides missing ones.
CRATES := chat-domain chat-local chat-mcp chat-mongodb chat-mysql chat-openai chat-redis chat-agent ham3d-mcp chat-test-support chat-bench
# The builds for one outside technology alone, and for none.
ALONE := none redis mysql mongodb
# The domain knows none of these.
FORBIDDEN := tokio poem reqwest hyper rmcp fred diesel mongodb

help: ## List what can be made.
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

run: ## Serve with the built-in model: no key, no network.
	cargo run --release -- demo

test: setup ## Run all tests; installs what they need on Debian, elsewhere says what is missing.
	cargo build --examples
	cargo test --workspace --all-targets
	cargo test --workspace --doc
	cargo test --workspace --features otel --test tracing
	target/debug/chat-agent openapi --check openapi/chat-agent.json
	tests/schemathesis.sh 25

test-docker: ## Build the container images, and run them as docker/README.md says. Takes as long as two release builds.
	tests/docker.sh

check: ## Format, lints, documentation, dependency rules, feature sets.
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --all-features -- -D warnings
	cargo clippy -p chat-agent --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --document-private-items
	tests/domain-is-pure.sh $(FORBIDDEN)
	for crate in $(CRATES); do cargo check -p $$crate || exit 1; done
	cargo check -p chat-agent --no-default-features
	for feature in $(ALONE); do cargo check -p chat-agent --no-default-features --features $$feature || exit 1; done

check-full: check test ## All of that, the feature powerset, licences, unused dependencies, long fault tests.
	tests/setup.sh full
	cargo hack check -p chat-agent --feature-powerset --no-dev-deps
	cargo deny --workspace check licenses bans sources
	cargo machete
	promtool check rules deploy/prometheus/alerts.yml
	promtool test rules tests/alerts.test.yml
	for feature in $(ALONE); do cargo test -p chat-agent --no-default-features --features $$feature --lib --test api --test backends --test lifecycle || exit 1; done
	tests/schemathesis.sh 1000
	tests/mcp-conformance.sh
	cargo test --workspace --no-fail-fast -- --ignored --show-output --skip screenshots

bench: setup ## Measure against nginx and a bare proxy, in alternating rounds.
	tests/setup.sh bench
	cargo build --release -p chat-agent -p chat-bench
	target/release/chat-bench

fmt: ## Format.
	cargo fmt --all

openapi: ## Write the API's description anew.
	cargo run -q -- openapi > openapi/chat-agent.json

setup:
	@tests/setup.sh test

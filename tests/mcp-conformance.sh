#!/usr/bin/env bash
# Runs the protocol's own conformance suite against what is built here.
# Usage: tests/mcp-conformance.sh [server|client|all]
set -euo pipefail
cd "$(dirname "$0")/.."

what=${1:-all}

# What the suite starts as a client: with the scenario in a variable, and the server's URL as the argument.
if [ "$what" = as-client ]; then
    agent=target/debug/chat-agent
    export MCP_SERVER_URL=$2
    case $MCP_CONFORMANCE_SCENARIO in
    initialize) exec $agent mcp list ;;
    tools_call) exec $agent mcp call default add_numbers '{"a": 5, "b": 3}' ;;
    sse-retry) exec $agent mcp call default test_reconnection ;;
    *) echo "no client for $MCP_CONFORMANCE_SCENARIO" >&2 && exit 2 ;;
    esac
fi

tools=$PWD/target/test-tools/conformance/node_modules/.bin
[ -x "$tools/conformance" ] || {
    echo "the conformance suite is missing: tests/setup.sh full" >&2
    exit 1
}
# The suite needs a newer Node than many systems have.
PATH=$tools:$PATH
work=$(mktemp -d)
started=()
failed=()
trap 'kill "${started[@]}" 2>/dev/null || true; rm -rf "$work"' EXIT

# start NAME COMMAND...: a server that says on standard error where it listens; sets `url`.
start() {
    "${@:2}" 2>"$work/$1.log" </dev/null &
    started+=($!)
    for _ in $(seq 100); do
        address=$(sed -n 's/.*listening address=//p' "$work/$1.log")
        [ -n "$address" ] && break
        kill -0 $! 2>/dev/null || break
        sleep 0.1
    done
    [ -n "$address" ] || { echo "$1 did not start:" >&2; cat "$work/$1.log" >&2; exit 1; }
    url=http://$address/mcp
}

# scenario NAME: a server's, against `url`.
scenario() {
    judge "$1" conformance server --url "$url" --scenario "$1"
}

# judge NAME COMMAND...
judge() {
    if "${@:2}" >"$work/report" 2>&1; then
        echo "ok      $1"
    else
        echo "FAILED  $1"
        cat "$work/report"
        failed+=("$1")
    fi
}

servers() {
    cargo build -q -p ham3d-mcp --bin ham3d-mcp --example schema_fixture
    # No scenario asks the database: it need not be there.
    start ham3d-mcp env HAM3D_DB_HOST=127.0.0.1 HAM3D_DB_PORT=9 HAM3D_DB_USER=nobody HAM3D_DB_NAME=none \
        target/debug/ham3d-mcp --http 127.0.0.1:0
    scenario server-initialize
    scenario ping
    scenario tools-list
    scenario dns-rebinding-protection
    # This one wants a certain tool, which is served by an example over the same code.
    start schema_fixture target/debug/examples/schema_fixture
    scenario json-schema-2020-12
}

clients() {
    cargo build -q -p chat-agent
    for name in initialize tools_call sse-retry; do
        judge "$name" conformance client --command "$PWD/tests/mcp-conformance.sh as-client" --scenario "$name"
    done
}

case "$what" in
server) servers ;;
client) clients ;;
all) servers && clients ;;
*)
    echo "usage: $0 [server|client|all]" >&2
    exit 2
    ;;
esac

[ ${#failed[@]} = 0 ] || { echo "${#failed[@]} failed: ${failed[*]}" >&2; exit 1; }

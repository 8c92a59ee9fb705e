#!/usr/bin/env bash
# Asks the running service, with generated requests, whether it keeps what its own OpenAPI document says.
# Usage: tests/schemathesis.sh EXAMPLES_PER_OPERATION
set -euo pipefail
cd "$(dirname "$0")/.."

examples=${1:-25}
st=target/test-tools/venv/bin/st
binary=target/debug/chat-agent
[ -x "$binary" ] || cargo build -q
work=$(mktemp -d)
trap 'kill "${server:-}" 2>/dev/null || true; rm -rf "$work"' EXIT

# The limits are raised so that answers are seen and not refusals.
(cd "$work" && exec env -i PATH="$PATH" HOST=127.0.0.1 PORT=0 DEFAULT_PROVIDER=demo ADMIN_TOKEN=schemathesis \
    RATE_RPS=1000000 RATE_BURST=1000000 MAX_SESSIONS=10000000 TRUSTED_PROXIES=127.0.0.1/32 "$OLDPWD/$binary" 2>"$work/log") &
server=$!
for _ in $(seq 100); do
    address=$(sed -n 's/.*"event":"listening".*"address":"\([^"]*\)".*/\1/p' "$work/log" 2>/dev/null || true)
    [ -n "$address" ] && break
    sleep 0.1
done
[ -n "$address" ] || { echo "the service did not start:" >&2; cat "$work/log" >&2; exit 1; }

# Bounds that come from configuration are no schema: what is valid or not cannot be told from the document alone.
if ! SCHEMATHESIS_HOOKS=tests/schemathesis_hooks.py "$st" run "http://$address/openapi.json" --header 'X-Admin-Token: schemathesis' \
    --checks all --exclude-checks positive_data_acceptance,negative_data_rejection \
    --phases examples,coverage,fuzzing,stateful --max-examples "$examples" --generation-database none --no-color >"$work/report" 2>&1; then
    tail -n 200 "$work/report" >&2
    exit 1
fi
tail -n 25 "$work/report"
kill -0 "$server" || { echo "the service died" >&2; exit 1; }

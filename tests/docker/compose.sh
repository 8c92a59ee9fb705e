# shellcheck shell=bash
# For tests/docker.sh: docker-compose.yml, first what it says, then what comes of it: the commands of docker/README.md, in
# the checkout that $context is.

in_context() { (cd "$context" && API_PUBLISH=127.0.0.1:${port:-8000} "${compose[@]}" -f docker/docker-compose.yml "$@"); }
compose_down() { in_context --profile '*' down -v --timeout 5 >/dev/null 2>&1; }

compose_keeps_its_promises() {
    say "what docker-compose.yml says"
    (
        cd "$context"
        mv .env "$work/.env"
        "${compose[@]}" -f docker/docker-compose.yml config --format json >"$work/plain.json" || fail "without .env it is not valid"
        "${compose[@]}" -f docker/docker-compose.yml --profile '*' config --format json >"$work/all.json"
        mv "$work/.env" .env
    )
    check "its promises" python3 tests/docker/promises.py "$work/all.json" "$work/plain.json"
    check ".env is read" has "$(in_context config api)" "ADMIN_TOKEN: $secret"
    check "and does not move the API" has "$(PORT=9 in_context config api)" 'PORT: "8000"'
}

free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }

archive_says() { has "$(in_context --profile mysql logs mysql 2>&1)" "$1"; }

compose_runs() {
    say "docker compose up"
    port=$(free_port)
    url=http://127.0.0.1:$port
    local before=$SECONDS
    in_context up --build --detach >"$work/up.log" 2>&1 || fail "up: $(tail -n 30 "$work/up.log")"
    eventually 60 ask "$url/health" || fail "the API does not serve: $(in_context logs api)"
    figures+=("compose up --build, all of it cached" "$((SECONDS - before)) s")
    check "answers" has "$(say_hello)" "Nice to meet you, Ada"
    local runtime
    runtime=$(ask "$url/admin/runtime" -H "X-Admin-Token: $secret")
    check ".env is in effect" has "$runtime" '"available":["demo"'
    check "sessions are in Redis" is "$(jq -r .memory.backend <<<"$runtime")" redis
    check "ready" has "$(ask "$url/health/ready")" '"ready"'
    local id
    id=$(ask -X POST "$url/sessions" | jq -r .id)
    in_context restart --timeout 45 >/dev/null 2>&1
    eventually 60 ask "$url/sessions/$id" || fail "a session did not outlive a restart of all"
    check "a session outlives a restart of all" true

    say "docker compose --profile mcp"
    check "build" in_context --profile mcp build --quiet mcp-ham3d >"$work/build.log" 2>&1
    in_context --profile mcp up --detach mcp-ham3d >"$work/up.log" 2>&1 || fail "mcp: $(tail -n 30 "$work/up.log")"
    printf 'mcp:\n  servers:\n    ham3d:\n      url: http://mcp-ham3d:8080/mcp\n' >"$context/config/mcp_agent.config.yaml"
    echo MCP_AGENT_SERVERS=ham3d >>"$context/.env"
    in_context up --detach api >"$work/up.log" 2>&1 || fail "api: $(tail -n 30 "$work/up.log")"
    eventually 60 ask "$url/health" || fail "the API does not serve: $(in_context logs api)"
    check "the API reaches the catalogue" eventually 60 is_ready
    check "and its model finds something there" has \
        "$(words="/tool ham3d_search_products {\\\"query\\\":\\\"PLA\\\"}" say_hello)" '"is_error":false'
    in_context --profile mcp stop mcp-ham3d >/dev/null 2>&1
    # As the command says it, in the foreground, until somebody ends it.
    in_context --profile mcp run --rm --name chat-test-run mcp-ham3d >"$work/run.log" 2>&1 </dev/null &
    background+=($!)
    check "run --rm mcp-ham3d" eventually 60 grep -q listening "$work/run.log"
    "${engine[@]}" stop -t 15 chat-test-run >/dev/null

    say "an archive without a password"
    in_context --profile mysql up --detach mysql >"$work/up.log" 2>&1 || true
    check "it says what to set" eventually 30 archive_says "set HISTORY_MYSQL_PASSWORD in .env"
    compose_down
}

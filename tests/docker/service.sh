# shellcheck shell=bash
# For tests/docker.sh: the images at work, one container at a time, with as few rights as docker/README.md gives them.

# confined NAME OPTION... IMAGE [ARGUMENT...]: in the background. Sets $url and $pid.
confined() {
    "${engine[@]}" run -d --name "chat-test-$1" "${strict[@]}" --cap-drop ALL --security-opt no-new-privileges \
        --tmpfs /tmp -p 127.0.0.1::8000 "${@:2}" >/dev/null
    pid=$("${engine[@]}" inspect --format '{{.State.Pid}}' "chat-test-$1")
    url=http://$("${engine[@]}" port "chat-test-$1" 8000/tcp | head -n 1)
}

# once OPTION... IMAGE [ARGUMENT...]: in the foreground.
once() {
    "${engine[@]}" run --rm "${strict[@]}" --init --cap-drop ALL --security-opt no-new-privileges --tmpfs /tmp "$@"
}

ask() { curl -sS --fail-with-body --max-time 20 "$@"; }
say_hello() {
    local id
    id=$(ask -X POST "$url/sessions" | jq -r .id)
    ask "$@" "$url/sessions/$id/messages" -H 'Content-Type: application/json' -d "{\"content\":\"${words:-Hello! My name is Ada.}\"}"
}
# Of the process that serves: the child of the one that reaps.
served() { pgrep -P "$pid" || echo "$pid"; }
status_of() { sed -n "s/^$2:[[:space:]]*//p" "/proc/$1/status"; }
milliseconds() { date +%s%3N; }
log_of() { "${engine[@]}" logs "chat-test-$1" 2>&1; }

service_runs_confined() {
    say "a container with a read-only root and no rights"
    # The archive's Redis is nowhere: what should be archived waits in the volume.
    mkdir -p "$work/config"
    printf 'default_provider: demo\nrate_burst: 100\nrate_rps: 100\n' >"$work/config/app.config.yaml"
    local before main
    before=$(milliseconds)
    confined service -v chat-test-spool:/var/lib/chat-agent/spool -v "$work/config:/app/config:ro" \
        -e HISTORY_SPOOL_DIR=/var/lib/chat-agent/spool -e HISTORY_STORAGE_BACKEND=redis \
        -e HISTORY_REDIS_URL=redis://127.0.0.1:1 chat-test:api
    eventually 20 ask "$url/health" || fail "it does not serve: $(log_of service)"
    figures+=("from 'run' to the first answer" "$(($(milliseconds) - before)) ms")
    check "configuration is read from /app/config/app.config.yaml" has "$(log_of service)" app.config.yaml
    main=$(served)
    figures+=("memory of the service at rest" "$(($(status_of "$main" VmRSS | tr -dc 0-9) / 1024)) MB")
    check "runs as 65532" is "$(status_of "$main" Uid | tr '\t' ,)" 65532,65532,65532,65532
    check "has no capability" is "$(status_of "$main" CapEff)" 0000000000000000
    check "gets no new privileges" is "$(status_of "$main" NoNewPrivs)" 1
    check "the root is read-only" grep -qE '^[^ ]+ / [^ ]+ ro,' "/proc/$main/mounts"
    check "answers" has "$(say_hello)" "Nice to meet you, Ada"
    check "streams" has "$(say_hello -N -H 'Accept: text/event-stream')" message.completed
    check "shows its documentation" has "$(ask "$url/docs")" '<html'
    if [ -f examples/chat.html ]; then check "shows its pages" has "$(ask "$url/chat")" '<html'; fi
    check "is ready, and says what waits" has "$(ask "$url/health/ready")" degraded
    # A message is answered after it is safe somewhere, and here there is only the volume.
    check "what waits for the archive is in the volume, and belongs to it" \
        once -v chat-test-spool:/spool --entrypoint /bin/sh --user 65532 chat-test:tools -c 'find /spool -type f -size +0 | grep -q .'
    check "health check" "${engine[@]}" exec chat-test-service /usr/local/bin/chat-agent healthcheck
    if [ "${engine[0]}" = docker ]; then
        check "the engine finds it healthy" eventually 40 is_healthy service
    else
        check "the engine finds it healthy" "${engine[@]}" healthcheck run chat-test-service
    fi
}

is_healthy() { is "$("${engine[@]}" inspect --format '{{.State.Health.Status}}' "chat-test-$1")" healthy; }

service_ends_in_order() {
    say "SIGTERM"
    local stream=$work/stream before
    say_hello -N -H 'Accept: text/event-stream' >"$stream" &
    local reader=$!
    eventually 20 grep -q message.delta "$stream" || fail "no stream"
    before=$(milliseconds)
    "${engine[@]}" stop -t 45 chat-test-service >/dev/null
    figures+=("from SIGTERM to the end, one answer running" "$(($(milliseconds) - before)) ms")
    wait $reader || fail "the stream broke"
    check "an answer that was on its way arrived" grep -q 'event: message.completed' "$stream"
    check "it was cut off by nobody" grep -q message.delta "$stream"
    check "exit status 0" is "$("${engine[@]}" inspect --format '{{.State.ExitCode}}' chat-test-service)" 0
    "${engine[@]}" rm chat-test-service >/dev/null
}

health_is_told_by_the_exit_status() {
    say "exit statuses"
    check "nothing serves: 1" exits 1 once chat-test:api healthcheck
    check "a configuration that cannot be used: 2" exits 2 once -e RATE_RPS=0 chat-test:api
    check "and it says why" has "$(cat "$work/exits")" RATE_RPS
    check "no settings at all: it starts" exits 0 once chat-test:api check-config
}

tools_are_in_the_image_of_tools() {
    say "MCP servers as children"
    mkdir -p "$work/tools"
    cat >"$work/tools/mcp_agent.config.yaml" <<'YAML'
mcp:
  servers:
    filesystem:
      command: npx
      args: ["-y", "@modelcontextprotocol/server-filesystem", /app, /proc/1]
    fetch:
      command: uvx
      args: [mcp-server-fetch]
YAML
    local servers=(-v "$work/tools:/app/config:ro" -e MCP_AGENT_SERVERS=filesystem,fetch -e DEFAULT_PROVIDER=demo)
    check "without them it says where they are" exits 1 once "${servers[@]}" chat-test:api mcp list
    check "namely there" has "$(cat "$work/exits")" "target \`tools\`"
    # Without an init of the engine: the service is process 1, and buries what its servers leave behind.
    confined tools "${servers[@]}" -e ADMIN_TOKEN="$secret" -v chat-test-home:/home/nonroot chat-test:tools
    local answer
    check "npx and uvx start theirs" eventually 120 is_ready
    answer=$(words="/tool filesystem_list_directory {\\\"path\\\":\\\"/app\\\"}" say_hello)
    check "a tool is called" has "$answer" '"tool":"list_directory"'
    answer=$(words="/tool filesystem_read_text_file {\\\"path\\\":\\\"/proc/1/environ\\\"}" say_hello)
    check "a tool cannot read our environment" has "$answer" '"is_error":true'
    check "nor tell what is in it" not has "$answer" "$secret"
    local npx
    npx=$(pgrep --ns "$pid" --nslist pid -f '^npm exec')
    kill -9 "$npx"
    check "a server that died comes back" eventually 60 is_ready
    check "and leaves no zombie" eventually 10 not pgrep --ns "$pid" --nslist pid -r Z
    "${engine[@]}" stop -t 45 chat-test-tools >/dev/null
    check "exit status 0, as process 1, too" is "$("${engine[@]}" inspect --format '{{.State.ExitCode}}' chat-test-tools)" 0
    "${engine[@]}" rm chat-test-tools >/dev/null
}

is_ready() { has "$(ask "$url/health/ready")" '"ready"'; }

catalogue_speaks_over_stdio() {
    say "the catalogue server"
    local hello='{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-06-18","capabilities":{},"clientInfo":{"name":"test","version":"1"}}}'
    check "stdio" has "$(echo "$hello" | once -i -e HAM3D_DB_USER=u -e HAM3D_DB_NAME=n chat-test:ham3d 2>/dev/null)" ham3d-mysql
    check "what is missing is named" exits 2 once chat-test:ham3d
    check "by its name" has "$(cat "$work/exits")" HAM3D_DB_USER
}

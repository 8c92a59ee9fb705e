# shellcheck shell=bash
# For tests/docker.sh: building, and what is in what was built.

figures=()
readonly secret=planted-9f1c7d52

# What a user's checkout looks like, secrets included.
make_context() {
    context=$work/chat-agent
    mkdir -p "$context/.git" "$context/target"
    git ls-files -z --cached --others --exclude-standard | tar --null -T - -c | tar -C "$context" -x
    cat >"$context/.env" <<ENV
DEFAULT_PROVIDER=demo
ADMIN_TOKEN=$secret
RATE_RPS=1000
RATE_BURST=1000
ENV
    local file
    for file in .git/config target/left-over src/.env config/app.config.yaml config/mcp_agent.secrets.yaml secret.txt; do
        echo "# $secret" >"$context/$file"
    done
}

build() {
    local before=$SECONDS
    nice -n 10 "${engine[@]}" build "$@" "$context" >"$work/build.log" 2>&1 || {
        tail -n 60 "$work/build.log" >&2
        fail "the image cannot be built: $*"
    }
    figures+=("building ${*: -1}" "$((SECONDS - before)) s")
}

build_images() {
    say "building: docker/README.md says how long it takes when nothing is cached"
    build -f "$context/docker/api.Dockerfile" --target tools --build-arg REVISION=abc123 -t chat-test:tools
    build -f "$context/docker/api.Dockerfile" --build-arg REVISION=abc123 -t chat-test:api
    build -f "$context/docker/api.Dockerfile" --build-arg FEATURES=none -t chat-test:lean
    build -f "$context/docker/ham3d.Dockerfile" -t chat-test:ham3d
    local image
    for image in api tools ham3d; do
        figures+=("size of $image" "$(($(inspect "$image" .Size) / 1000000)) MB")
    done
}

# inspect IMAGE FILTER
inspect() { "${engine[@]}" image inspect "chat-test:$1" | jq -cr ".[0] | $2"; }

# The files of an image, as a tar archive.
files() {
    local container
    container=$("${engine[@]}" create "chat-test:$1")
    "${engine[@]}" export "$container"
    "${engine[@]}" rm "$container" >/dev/null
}

images_hold_what_they_should() {
    say "what is in the images"
    local image health='.Config.Healthcheck // .HealthCheck // .Healthcheck | .Test'
    for image in api tools; do
        check "$image: not root, by number" is "$(inspect $image .Config.User)" 65532:65532
        check "$image: the health check is our own" is "$(inspect $image "$health")" '["CMD","/usr/local/bin/chat-agent","healthcheck"]'
        check "$image: serves" is "$(inspect $image '[.Config.Entrypoint, .Config.Cmd]')" '[["/usr/local/bin/chat-agent"],["serve"]]'
        check "$image: in /app" is "$(inspect $image .Config.WorkingDir)" /app
        check "$image: labels" is \
            "$(inspect $image '.Config.Labels | [.["org.opencontainers.image.title", "org.opencontainers.image.revision"]] | join(",")')" \
            chat-agent,abc123
        check "$image: port 8000" is "$(inspect $image '.Config.ExposedPorts | keys | join(",")')" 8000/tcp
    done
    check "ham3d: not root, by number" is "$(inspect ham3d .Config.User)" 65532:65532
    check "ham3d: stdio" is "$(inspect ham3d '[.Config.Entrypoint, .Config.Cmd]')" '[["/usr/local/bin/ham3d-mcp"],null]'
    for image in api tools ham3d; do
        files $image >"$work/files.tar"
        check "$image: no secret of the checkout" not grep -qaF "$secret" "$work/files.tar"
        check "$image: no sources, no .env, no configuration" \
            not grep -qE '(^|/)(Cargo\.toml|\.env|\.git|app\.config\.yaml)(/|$)' <(tar -tf "$work/files.tar" | grep -v /node_modules/)
    done
    # So these are in no layer that somebody could be sent, either.
    check "the builder saw no secret" "${engine[@]}" build -q -t chat-test:context -f - "$context" >/dev/null <<'SEE'
FROM rust:1.95-bookworm
WORKDIR /src
COPY . .
RUN test -f Cargo.lock && ! grep -rF planted- .
SEE
    check "lean: refuses a database" exits 2 \
        "${engine[@]}" run --rm -e REDIS_URL=redis://localhost chat-test:lean check-config
    check "lean: and names the feature for it" has "$(cat "$work/exits")" 'feature `redis`'
    check "api: has that feature" exits 0 \
        "${engine[@]}" run --rm -e REDIS_URL=redis://localhost chat-test:api check-config
    files api | tar -t >"$work/list"
    check "api: no shell" not grep -qE '^(usr/)?bin/(ba|da|busybo)?(sh|x)$' "$work/list"
    check "api: root certificates" grep -q '^etc/ssl/certs/ca-certificates.crt$' "$work/list"
    check "api: both programs, and no other" is \
        "$(grep '^usr/local/bin/.' "$work/list" | sort | paste -sd,)" usr/local/bin/chat-agent,usr/local/bin/ham3d-mcp
}

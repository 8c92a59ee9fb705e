# shellcheck shell=bash
# For tests/docker.sh: what builds and runs the images, and Compose. Docker where it answers; elsewhere podman, which takes
# the same commands and is installed on Debian. Sets $engine (array) and $compose (array). Wants: $state (folder), say, fail.

# need COMMAND PACKAGE
need() {
    if command -v "$1" >/dev/null; then return; fi
    command -v apt-get >/dev/null || fail "$1 is missing: install it with your system's package manager"
    say "installing $2 (for $1)"
    [ -n "${updated:-}" ] || { apt-get update -qq && updated=1; } || true
    apt-get install -y -qq --no-install-recommends "$2" >/dev/null 2>&1 || fail "$1 is missing and could not be installed: apt-get install $2"
}

has_docker() { docker version >/dev/null 2>&1; }

# Podman keeps everything below $state. It makes mounts, and that in a namespace of our own: so the script begins anew.
in_own_namespace() {
    has_docker || [ -n "${CHAT_TEST_NAMESPACE:-}" ] && return
    [ "$(id -u)" = 0 ] || fail "there is no Docker to talk to, and podman needs root here: sudo make test-docker"
    need unshare util-linux
    CHAT_TEST_NAMESPACE=1 exec unshare --mount "$0" "$@"
}

use_engine() {
    if has_docker; then
        engine=(docker)
        strict=(--read-only)
        return
    fi
    need podman podman
    need crun crun
    need debootstrap debootstrap
    need /usr/lib/podman/netavark netavark
    need /usr/lib/podman/aardvark-dns aardvark-dns
    need iptables iptables
    need catatonit catatonit
    # crun knows one generation of control groups at a time.
    if mountpoint -q /sys/fs/cgroup/unified; then umount /sys/fs/cgroup/unified; fi
    cat >"$state/containers.conf" <<CONF
[containers]
default_ulimits = ["nofile=$(ulimit -Hn):$(ulimit -Hn)", "nproc=32768:32768"]
[engine]
runtime = "crun"
cgroup_manager = "cgroupfs"
events_logger = "file"
CONF
    printf 'unqualified-search-registries = ["docker.io"]\nshort-name-mode = "permissive"\n' >"$state/registries.conf"
    mkdir -p "$state/tmp"
    export CONTAINERS_CONF=$state/containers.conf CONTAINERS_REGISTRIES_CONF=$state/registries.conf TMPDIR=$state/tmp
    # In the other format there are no health checks. Without systemd nobody makes them by the clock: see beat.
    export BUILDAH_FORMAT=docker BUILDAH_ISOLATION=chroot DISABLE_HC_SYSTEMD=true
    engine=(podman --root "$state/storage" --runroot "$state/run" --network-config-dir "$state/networks")
    # As Docker does it: podman's own would leave more of the root writable.
    strict=(--read-only --read-only-tmpfs=false)
}

# Docker Compose, 2.24 or later. Debian has it since 13; its package for that runs on 12, too.
use_compose() {
    if docker compose version >/dev/null 2>&1; then
        compose=(docker compose)
    else
        local folder=$PWD/target/test-tools/compose
        compose=("$folder/root/usr/libexec/docker/cli-plugins/docker-compose")
        [ -x "${compose[0]}" ] || compose_of_debian "$folder"
        "${compose[@]}" version >/dev/null || fail "Docker Compose is missing: https://docs.docker.com/compose/install/"
    fi
    has_docker || serve_docker_api
}

compose_of_debian() {
    say "installing Docker Compose of Debian 13 into $1"
    mkdir -p "$1/lists/partial" "$1/cache/archives/partial"
    echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://deb.debian.org/debian trixie main" >"$1/sources"
    (
        cd "$1"
        apt=(apt-get -qq -o Dir::Etc::sourcelist="$1/sources" -o Dir::Etc::sourceparts=- -o Dir::State::lists="$1/lists"
            -o Dir::Cache="$1/cache" -o Dir::State::status=/dev/null -o APT::Sandbox::User=root)
        "${apt[@]}" update && "${apt[@]}" download docker-compose && dpkg -x docker-compose_*.deb root && rm -rf lists cache
    ) >/dev/null 2>&1 || fail "Docker Compose is missing: https://docs.docker.com/compose/install/"
}

# Podman can be spoken to as if it were Docker.
serve_docker_api() {
    "${engine[@]}" system service --time=0 "unix://$work/engine.sock" >"$work/engine.log" 2>&1 &
    background+=($!)
    # No BuildKit there; podman's own builder knows what our files need of it.
    export DOCKER_HOST=unix://$work/engine.sock DOCKER_BUILDKIT=0
    eventually 20 test -S "$work/engine.sock" || fail "podman does not serve: $(cat "$work/engine.log")"
    beat &
    background+=($!)
}

# The clock of the health checks.
beat() {
    local name
    while sleep 1; do
        for name in $("${engine[@]}" ps --format '{{.Names}}' 2>/dev/null); do
            "${engine[@]}" healthcheck run "$name" >/dev/null 2>&1 || true
        done
    done
}

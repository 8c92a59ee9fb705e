#!/usr/bin/env bash
# Builds the images, runs them as docker/README.md says, and asks them. With Docker, or on Debian, as root, with podman.
#
# Without a registry the images that ours are made from are stand-ins: see tests/docker/bases.sh. What is built here stays in
# target/docker (podman) or in Docker's cache, and makes the next run quicker; containers, volumes and networks do not.
# QUICK=1 builds without optimizing, where the base is a stand-in.
set -euo pipefail
cd "$(dirname "$0")/.."
PATH=$PATH:/usr/sbin:/sbin

say() { echo "== $*" >&2; }
fail() {
    echo "FAILED: $*" >&2
    exit 1
}
# check WORDS COMMAND...
check() {
    "${@:2}" || fail "$1"
    echo "   ok: $1" >&2
}
# eventually SECONDS COMMAND...
eventually() {
    local end=$((SECONDS + $1))
    until "${@:2}" >/dev/null 2>&1; do
        ((SECONDS < end)) || return 1
        sleep 0.1
    done
}
not() { ! "$@"; }
is() { [ "$1" = "$2" ] || { echo "expected $2, and it is $1" >&2; return 1; }; }
has() { grep -qF -- "$2" <<<"$1" || { echo "no $2 in: $1" >&2; return 1; }; }
exits() {
    local status=0
    "${@:2}" >"$work/exits" 2>&1 || status=$?
    [ "$status" = "$1" ] || { echo "exit status $status: $(cat "$work/exits")" >&2; return 1; }
}

for part in engine bases images service compose; do
    # shellcheck source=/dev/null
    . "tests/docker/$part.sh"
done
in_own_namespace "$@"

began=$SECONDS
state=$PWD/target/docker
mkdir -p "$state"
work=$(mktemp -d)
background=()
quick=${QUICK:+CARGO_PROFILE_RELEASE_OPT_LEVEL=0 CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16}

clean_up() {
    local status=$?
    set +e
    [ -z "${compose:-}" ] || compose_down
    if [ -n "${engine:-}" ]; then
        "${engine[@]}" rm -f $("${engine[@]}" ps -aq --filter name='^chat-test-') >/dev/null 2>&1
        "${engine[@]}" volume rm -f chat-test-spool chat-test-home >/dev/null 2>&1
    fi
    for pid in "${background[@]}"; do kill "$pid" 2>/dev/null; done
    rm -rf "$work"
    exit $status
}
trap clean_up EXIT
trap 'exit 130' INT TERM

for tool in curl jq tar python3 pgrep; do need "$tool" "${tool/pgrep/procps}"; done
use_engine
use_compose
base $rust_image rust_stand_in
base $distroless_image distroless_stand_in
base $node_image node_stand_in
base $redis_image redis_stand_in
base $mariadb_image mariadb_stand_in

make_context
build_images
images_hold_what_they_should
service_runs_confined
service_ends_in_order
health_is_told_by_the_exit_status
tools_are_in_the_image_of_tools
catalogue_speaks_over_stdio
compose_keeps_its_promises
compose_runs

say "figures"
printf '%-44s %s\n' "${figures[@]}" "the whole test" "$((SECONDS - began)) s"
say "all is well"

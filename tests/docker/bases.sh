# shellcheck shell=bash
# For tests/docker.sh: the images that ours are made from. Where no registry answers, stand-ins with their names, made
# from Debian's packages (and Node's from npm), trusting whom this machine trusts. They have what ours need of them, and
# are not those images. Wants: $engine (array), $state (folder), say, fail.

readonly rust_image=docker.io/library/rust:1.95-bookworm
readonly distroless_image=gcr.io/distroless/cc-debian12:nonroot
readonly node_image=docker.io/library/node:24-bookworm-slim
readonly redis_image=docker.io/library/redis:8-alpine
readonly mariadb_image=docker.io/library/mariadb:11.8

# base IMAGE FUNCTION: has the image, from where it is quickest. FUNCTION fills the folder $1 and prints options for its
# import; it runs in a subshell, and a failure ends that.
base() {
    "${engine[@]}" image inspect "$1" >/dev/null 2>&1 && return
    timeout 60 "${engine[@]}" pull -q "$1" >/dev/null 2>&1 && return
    say "no registry has $1 for us: making a stand-in"
    local root=$state/root options
    empty "$root"
    options=$("$2" "$root") || fail "a stand-in for $1 cannot be made"
    tar -C "$root" -c . | eval "\"\${engine[@]}\"" import $options - "$1" >/dev/null
    empty "$root"
}

empty() {
    rm -rf "$1"
    mkdir -p "$1"
}

# The smallest Debian, made once.
debian() {
    if [ ! -e "$state/debian/.done" ]; then
        command -v debootstrap >/dev/null || fail "debootstrap is missing: apt-get install debootstrap"
        empty "$state/debian"
        debootstrap --variant=minbase --include=ca-certificates bookworm "$state/debian" http://deb.debian.org/debian >"$state/debootstrap.log" ||
            fail "debootstrap failed: see $state/debootstrap.log"
        printf '#!/bin/sh\nexit 101\n' >"$state/debian/usr/sbin/policy-rc.d"
        chmod 755 "$state/debian/usr/sbin/policy-rc.d"
        mkdir -p "$state/debian/usr/local/share/ca-certificates"
        cp /usr/local/share/ca-certificates/*.crt "$state/debian/usr/local/share/ca-certificates/" 2>/dev/null || true
        chroot "$state/debian" update-ca-certificates >/dev/null 2>&1
        cp /etc/ssl/certs/ca-certificates.crt "$state/debian/etc/ssl/certs/"
        touch "$state/debian/.done"
    fi
    cp -a "$state/debian/." "$1"
}

# Options for the image's environment.
variables() { printf -- "-c 'ENV %s' " "$@"; }

# install FOLDER PACKAGE...
install() {
    cp /etc/resolv.conf "$1/etc/resolv.conf"
    chroot "$1" sh -c "apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends ${*:2}" >&2 || exit 1
    rm -rf "$1"/var/lib/apt/lists/* "$1"/var/cache/apt/archives/*.deb "$1"/usr/share/doc/* "$1"/usr/share/man/*
}

rust_stand_in() {
    local sysroot
    rustc --version | grep -q '^rustc 1\.95\.' || { say "the stand-in needs Rust 1.95, and here is $(rustc --version)"; return 1; }
    sysroot=$(rustc --print sysroot)
    debian "$1"
    install "$1" gcc libc6-dev make
    mkdir -p "$1/usr/local/rust"
    cp -a "$sysroot/bin" "$sysroot/lib" "$sysroot/libexec" "$1/usr/local/rust/"
    variables PATH=/usr/local/rust/bin:/usr/bin:/bin CARGO_HOME=/usr/local/cargo
}

distroless_stand_in() {
    local packages="base-files netbase tzdata libc6 libgcc-s1 libgomp1 libstdc++6 libssl3" package
    debian "$state/apt"
    cp /etc/resolv.conf "$state/apt/etc/resolv.conf"
    chroot "$state/apt" sh -c "apt-get update -qq && cd /srv && apt-get download -qq $packages" >&2 || exit 1
    for package in "$state"/apt/srv/*.deb; do dpkg -x "$package" "$1"; done
    # Debian's own roots, not this machine's.
    mkdir -p "$1/etc/ssl/certs" "$1/tmp" "$1/home/nonroot"
    cat "$state"/apt/usr/share/ca-certificates/mozilla/*.crt >"$1/etc/ssl/certs/ca-certificates.crt"
    echo 'nonroot:x:65532:65532:nonroot:/home/nonroot:/sbin/nologin' >"$1/etc/passwd"
    echo 'nonroot:x:65532:' >"$1/etc/group"
    chmod 1777 "$1/tmp"
    chmod 700 "$1/home/nonroot"
    chown 65532:65532 "$1/home/nonroot"
    rm -rf "${state:?}/apt" "$1"/usr/share/man
    variables PATH=/usr/local/bin:/usr/bin:/bin SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt
    echo "-c 'USER 65532'"
}

node_stand_in() {
    debian "$1"
    install "$1" libstdc++6
    npm install --prefix "$state/npm" --loglevel=error --no-audit --no-fund --no-update-notifier node@24 npm@11 >&2 || exit 1
    mkdir -p "$1/usr/local/lib/node_modules"
    cp -a "$state/npm/node_modules/npm" "$1/usr/local/lib/node_modules/"
    cp -L "$state/npm/node_modules/node/bin/node" "$1/usr/local/bin/"
    ln -s ../lib/node_modules/npm/bin/npm-cli.js "$1/usr/local/bin/npm"
    ln -s ../lib/node_modules/npm/bin/npx-cli.js "$1/usr/local/bin/npx"
    rm -rf "$state/npm"
    local roots=/etc/ssl/certs/ca-certificates.crt
    variables PIP_CERT=$roots SSL_CERT_FILE=$roots NODE_EXTRA_CA_CERTS=$roots
}

redis_stand_in() {
    debian "$1"
    install "$1" redis-server
    mkdir -p "$1/data"
    chroot "$1" chown redis:redis /data
    echo "-c 'WORKDIR /data' -c 'VOLUME /data'"
}

# With an entrypoint that does the part of the real one's work that docker-compose.yml relies on.
mariadb_stand_in() {
    debian "$1"
    install "$1" mariadb-server
    rm -rf "$1"/var/lib/mysql/*
    cat >"$1/usr/local/bin/docker-entrypoint.sh" <<'SH'
#!/bin/sh
set -e
serve="mariadbd --no-defaults --datadir=/var/lib/mysql --socket=/run/mysqld/s"
if [ ! -d /var/lib/mysql/mysql ]; then
    mariadb-install-db --no-defaults --datadir=/var/lib/mysql --auth-root-authentication-method=normal --skip-test-db >/dev/null
    $serve --skip-networking & first=$!
    sql() { mariadb --no-defaults --socket=/run/mysqld/s -u root "$@"; }
    until sql -e 'SELECT 1' >/dev/null 2>&1; do sleep 0.1; done
    sql -e "DROP USER IF EXISTS ''@'localhost', ''@'$(hostname)'; CREATE DATABASE \`$MARIADB_DATABASE\`"
    [ -z "$MARIADB_USER" ] || sql -e "CREATE USER \`$MARIADB_USER\` IDENTIFIED BY '$MARIADB_PASSWORD'; GRANT ALL ON \`$MARIADB_DATABASE\`.* TO \`$MARIADB_USER\`"
    for file in /docker-entrypoint-initdb.d/*.sql; do [ ! -f "$file" ] || sql "$MARIADB_DATABASE" <"$file"; done
    kill $first; wait $first || true
fi
exec $serve --bind-address=0.0.0.0
SH
    chmod 755 "$1/usr/local/bin/docker-entrypoint.sh"
    chroot "$1" chown mysql:mysql /var/lib/mysql
    echo "-c 'ENTRYPOINT [\"docker-entrypoint.sh\"]' -c 'CMD [\"mariadbd\"]' -c 'VOLUME /var/lib/mysql'"
}

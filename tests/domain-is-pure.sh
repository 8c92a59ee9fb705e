#!/usr/bin/env bash
# The domain's normal dependencies hold nothing that does I/O: `cargo tree -i` must not find any of the crates named.
set -euo pipefail
for crate in "$@"; do
    if found=$(cargo tree -p chat-domain -e normal --all-features -i "$crate" 2>/dev/null) && [ -n "$found" ]; then
        echo "chat-domain must not depend on $crate:" >&2
        echo "$found" >&2
        exit 1
    fi
done

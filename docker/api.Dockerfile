# The chat agent. From the repository's root:
#
#     docker build -f docker/api.Dockerfile -t chat-agent .
#     docker build -f docker/api.Dockerfile -t chat-agent:tools --target tools .
#
# See docker/README.md. Cache mounts need BuildKit (Docker 23 or later), podman or buildah.

FROM rust:1.95-bookworm AS builder
WORKDIR /src
COPY . .
# `default` is all databases, `none` is no database; or some of them, such as `redis,mysql`. `otel` adds traces.
ARG FEATURES=default
# Dependencies are built once, and kept in the mounts. What is ours is touched: Cargo compares times, and the time of a file
# says nothing about which version of it is in the cache.
RUN --mount=type=cache,id=chat-agent-registry,target=/usr/local/cargo/registry,sharing=locked \
    --mount=type=cache,id=chat-agent-target,target=/src/target,sharing=locked \
    find . -path ./target -prune -o -type f -exec touch {} + \
    && CARGO_INCREMENTAL=0 cargo build --locked --release -p chat-agent -p ham3d-mcp \
        --no-default-features --features "$FEATURES" \
    && mkdir -p /out/bin /out/home /out/state/spool \
    && cp target/release/chat-agent target/release/ham3d-mcp /out/bin/

# What both images have: programs, and folders that belong to who runs them. A volume that is mounted over one of these
# is theirs, too.
FROM scratch AS files
COPY --from=builder /out/bin/ /usr/local/bin/
COPY --from=builder /src/LICENSE-MIT /src/LICENSE-APACHE /usr/share/doc/chat-agent/
COPY --from=builder --chown=65532:65532 /out/state/ /var/lib/chat-agent/

# For MCP servers that are started as children: npx, uvx, and what they need.
FROM node:24-bookworm-slim AS tools
ARG UV_VERSION=0.13.9
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates python3 python3-venv \
    && rm -rf /var/lib/apt/lists/* /var/cache/* /var/log/* \
    && python3 -m venv /opt/uv \
    && /opt/uv/bin/pip install --no-cache-dir --disable-pip-version-check "uv==$UV_VERSION" \
    && ln -s /opt/uv/bin/uv /opt/uv/bin/uvx /usr/local/bin/ \
    && useradd --uid 65532 --user-group --create-home --home-dir /home/nonroot --shell /usr/sbin/nologin nonroot
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="chat-agent" \
    org.opencontainers.image.description="A chat agent backend: sessions, memory, tools, limits and an archive" \
    org.opencontainers.image.licenses="MIT OR Apache-2.0" \
    org.opencontainers.image.version="$VERSION" \
    org.opencontainers.image.revision="$REVISION"
COPY --from=files / /
ENV HOME=/home/nonroot
WORKDIR /app
# As a number, so that `runAsNonRoot` can tell.
USER 65532:65532
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s --retries=3 CMD ["/usr/local/bin/chat-agent", "healthcheck"]
ENTRYPOINT ["/usr/local/bin/chat-agent"]
CMD ["serve"]

# The image: the C library, root certificates, time zones, two programs; no shell.
FROM gcr.io/distroless/cc-debian12:nonroot AS api
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="chat-agent" \
    org.opencontainers.image.description="A chat agent backend: sessions, memory, tools, limits and an archive" \
    org.opencontainers.image.licenses="MIT OR Apache-2.0" \
    org.opencontainers.image.version="$VERSION" \
    org.opencontainers.image.revision="$REVISION"
COPY --from=files / /
ENV HOME=/home/nonroot
WORKDIR /app
# As a number, so that `runAsNonRoot` can tell.
USER 65532:65532
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s --retries=3 CMD ["/usr/local/bin/chat-agent", "healthcheck"]
ENTRYPOINT ["/usr/local/bin/chat-agent"]
CMD ["serve"]

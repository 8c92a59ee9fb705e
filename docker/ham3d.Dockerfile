# The catalogue server ham3d-mcp. From the repository's root:
#
#     docker build -f docker/ham3d.Dockerfile -t ham3d-mcp .
#
# See docker/README.md. Cache mounts need BuildKit (Docker 23 or later), podman or buildah.

FROM rust:1.95-bookworm AS builder
WORKDIR /src
COPY . .
# As in api.Dockerfile, and with the same mounts.
RUN --mount=type=cache,id=chat-agent-registry,target=/usr/local/cargo/registry,sharing=locked \
    --mount=type=cache,id=chat-agent-target,target=/src/target,sharing=locked \
    find . -path ./target -prune -o -type f -exec touch {} + \
    && CARGO_INCREMENTAL=0 cargo build --locked --release -p ham3d-mcp \
    && mkdir /out \
    && cp target/release/ham3d-mcp /out/

FROM gcr.io/distroless/cc-debian12:nonroot
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="ham3d-mcp" \
    org.opencontainers.image.description="An MCP server over a shop's product catalogue in MySQL" \
    org.opencontainers.image.licenses="MIT OR Apache-2.0" \
    org.opencontainers.image.version="$VERSION" \
    org.opencontainers.image.revision="$REVISION"
COPY --from=builder /out/ham3d-mcp /usr/local/bin/
COPY --from=builder /src/LICENSE-MIT /src/LICENSE-APACHE /usr/share/doc/ham3d-mcp/
USER 65532:65532
EXPOSE 8080
# Standard input and output; with `--http 0.0.0.0:8080` over HTTP.
ENTRYPOINT ["/usr/local/bin/ham3d-mcp"]

# killgate in a container. Needs BuildKit, for the cache mounts.
#
#   docker build -t killgate .
#   docker run --rm -p 8080:8080 --read-only -v killgate:/var/lib/killgate \
#       -v ./killgate.toml:/etc/killgate/killgate.toml:ro killgate

# gcc comes with this image, and no more is needed: SQLite and the cryptography are compiled from their sources.
FROM rust:1.95-slim-bookworm AS build
WORKDIR /src
COPY Cargo.toml Cargo.lock build.rs ./
COPY migrations migrations
COPY src src
# What `killgate --version` tells: --build-arg KILLGATE_COMMIT=$(git rev-parse --short=12 HEAD)
ARG KILLGATE_COMMIT="" SOURCE_DATE_EPOCH=""
RUN --mount=type=cache,target=/usr/local/cargo/registry,sharing=locked \
    --mount=type=cache,target=/src/target,sharing=locked \
    cargo build --locked --release --bin killgate \
    && cp target/release/killgate /usr/local/bin/killgate

# The same Debian, for the same C library. The roots of trust are compiled in, so no ca-certificates are needed.
FROM debian:bookworm-slim
LABEL org.opencontainers.image.title="killgate" \
      org.opencontainers.image.description="One HTTP gateway through which an organisation ends database sessions, every attempt on record" \
      org.opencontainers.image.licenses="Apache-2.0"

# The only place that is written to, and only where the record is an SQLite file.
RUN install -d -o 65532 -g 65532 -m 0750 /var/lib/killgate
COPY --from=build /usr/local/bin/killgate /usr/local/bin/killgate

# By number, so that a cluster can see that it is not root.
USER 65532:65532
# killgate.toml is read from here where it is there; without it the environment says everything.
WORKDIR /etc/killgate
# What neither killgate.toml nor the environment sets: inside a container loopback is of no use to anybody else.
ENV KILLGATE_DEFAULT__SERVER__LISTEN=0.0.0.0:8080 \
    KILLGATE_DEFAULT__AUDIT__SQLITE_PATH=/var/lib/killgate/killgate.db
EXPOSE 8080
# No HEALTHCHECK: the image has no HTTP client. Let the platform ask GET /healthz and GET /readyz.
# SIGTERM, the default, starts an orderly stop: give it longer than server.shutdown_grace_ms.
ENTRYPOINT ["killgate"]
CMD ["serve"]

# The server, the command line and the demo's pretend targets, each a static program, beside git and ssh, with which the
# server follows repositories. It runs as an ordinary user and needs no writable file system but /tmp when DATABASE_URL is
# set (which it must be: there is no PostgreSQL in here).

FROM golang:1.26-bookworm AS build
WORKDIR /src
# As Go reads them from the environment, for modules that come through a proxy: docker build --build-arg GOPROXY …
ARG GOPROXY
ARG GOSUMDB
ARG GOPRIVATE
COPY go.mod go.sum ./
RUN go mod download
COPY . .
RUN mkdir /out && CGO_ENABLED=0 go build -trimpath -ldflags="-s -w" -o /out/rollcall-server ./cmd/server \
 && CGO_ENABLED=0 go build -trimpath -ldflags="-s -w" -o /out/rollcall ./cmd/rollcall \
 && CGO_ENABLED=0 go build -trimpath -ldflags="-s -w" -o /out/fleet ./cmd/fleet

FROM debian:bookworm-slim AS server
RUN apt-get update \
 && apt-get install --yes --no-install-recommends ca-certificates git openssh-client tzdata \
 && rm -rf /var/lib/apt/lists/* /var/cache/apt /var/log/* \
 && useradd --uid 65532 --user-group --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin rollcall
COPY --from=build /out/ /usr/local/bin/
# By number, so that it can be seen from outside that it is not root.
USER 65532:65532
EXPOSE 8080
# Whether the process answers, not whether it can work: starting it again does not bring a database back.
HEALTHCHECK --interval=5s --timeout=3s --start-period=60s CMD ["/usr/local/bin/rollcall-server", "--healthcheck"]
ENTRYPOINT ["/usr/local/bin/rollcall-server"]
# What differs from build to build is given to docker build: --label org.opencontainers.image.version=… and …revision=….
LABEL org.opencontainers.image.title="Rollcall" \
      org.opencontainers.image.description="Rolls versions out over HTTP, wave by wave, and rolls back on failure"

# The server, the command line and the demo's pretend targets, each a static program. The image has no shell, runs as an
# ordinary user, and needs no writable file system when DATABASE_URL is set (which it must be: there is no PostgreSQL in
# here).

FROM golang:1.26-bookworm AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
RUN CGO_ENABLED=0 go build -trimpath -ldflags="-s -w" -o /out/rollcall-server ./cmd/server \
 && CGO_ENABLED=0 go build -trimpath -ldflags="-s -w" -o /out/rollcall ./cmd/rollcall \
 && CGO_ENABLED=0 go build -trimpath -ldflags="-s -w" -o /out/fleet ./cmd/fleet

# Certificates, time zones and the user "nonroot", and nothing else.
FROM gcr.io/distroless/static-debian12:nonroot AS server
COPY --from=build /out/ /usr/local/bin/
EXPOSE 8080
ENTRYPOINT ["/usr/local/bin/rollcall-server"]

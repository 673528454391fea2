// Package api serves the HTTP API: it checks a request against openapi.yaml, converts it into the types of rollout, calls
// the store, and encodes the response. It records what users request and never calls a target.
//
// Every error is returned as application/problem+json (RFC 9457); httpkit is the only place that chooses a status. Each
// operation of openapi.yaml is one method, in the file of its resource.
package api

//go:generate go tool -modfile=../../tools/go.mod oapi-codegen -config gen/types.yaml ../../openapi.yaml
//go:generate go tool -modfile=../../tools/go.mod oapi-codegen -config gen/server.yaml ../../openapi.yaml

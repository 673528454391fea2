// Package api answers HTTP: it checks a request against openapi.yaml, turns it into the words of rollout, asks the
// store, and encodes the answer. It writes down what people want and never calls a target.
//
// Every error leaves as application/problem+json (RFC 9457); problem.go is the only place that chooses a status. Each
// operation of openapi.yaml is one method in a small file of its own.
package api

//go:generate go tool -modfile=../../tools/go.mod oapi-codegen -config gen/types.yaml ../../openapi.yaml
//go:generate go tool -modfile=../../tools/go.mod oapi-codegen -config gen/server.yaml ../../openapi.yaml

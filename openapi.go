// Package rollcall holds the contract of the HTTP API, so that the server can check requests against it and serve it.
package rollcall

import _ "embed"

// OpenAPI is openapi.yaml, byte for byte.
//
//go:embed openapi.yaml
var OpenAPI []byte

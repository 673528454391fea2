// Package gen is what oapi-codegen makes of openapi.yaml: the types of requests and answers, and the routing to one
// method per operation. Nothing here is written by hand.
package gen

// Package httpkit has the parts of an HTTP API that know nothing of deployments: strict reading of bodies and queries,
// problems (RFC 9457), preconditions, the query budget of a request, the negotiation and limit of streams, and a recorder of
// responses.
package httpkit

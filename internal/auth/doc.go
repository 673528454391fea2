// Package auth authenticates requests: by a token that Rollcall issued, by the server's admin token, or by a token of a
// CI system that the operator trusts (OIDC). What that one may then do is decided by authz.Authorize.
//
// By default every request needs a credential; only Config.Open turns authentication off.
package auth

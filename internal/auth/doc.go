// Package auth finds out who asks: by a token that Rollcall gave out, by the server's own admin token, or by a token of a
// CI system that the operator trusts (OIDC). What that one may then do is decided by authz.Authorize.
//
// Nothing is let in by default. Only a server that was told to (Config.Open) asks for no credential.
package auth

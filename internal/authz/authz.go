// Package authz decides what a principal may do: by its role, its scopes, and the approval that a protected deployment needs.
package authz

import (
	"crypto/sha256"
	"crypto/subtle"
	"slices"
	"time"

	"rollcall/internal/problem"
	"rollcall/internal/rollout"
)

// Role is how much a principal may do, within its scopes. Each role may do all that the one before it may.
type Role string

// A viewer reads; a deployer also deploys, stops, and takes back, and writes definitions; an approver also promotes past gates and approves
// what is protected; an admin also protects, and gives out tokens.
const (
	RoleViewer   Role = "viewer"
	RoleDeployer Role = "deployer"
	RoleApprover Role = "approver"
	RoleAdmin    Role = "admin"
)

// Roles lists all roles, the one that may do least first.
func Roles() []Role { return []Role{RoleViewer, RoleDeployer, RoleApprover, RoleAdmin} }

// Permission is one kind of thing that a principal may do.
type Permission string

// The permissions, in the order of the roles that bring them.
const (
	PermissionRead    Permission = "read"
	PermissionDeploy  Permission = "deploy"
	PermissionApprove Permission = "approve"
	PermissionAdmin   Permission = "admin"
)

// Has reports whether the role brings the permission. An unknown role brings none, and no role brings an unknown permission.
func (r Role) Has(p Permission) bool {
	held := slices.Index(Roles(), r)
	needed := slices.Index([]Permission{PermissionRead, PermissionDeploy, PermissionApprove, PermissionAdmin}, p)
	return needed >= 0 && held >= needed
}

// Any stands for all services, or all environments, in a Scope. It is not a name that either can have.
const Any = "*"

// Scope is a service in an environment; Any in place of either stands for all.
type Scope struct {
	Service     string `json:"service"`
	Environment string `json:"environment"`
}

// Scopes is where a principal may do what its role says. None are nowhere.
type Scopes []Scope

// Everywhere returns scopes that allow every service in every environment.
func Everywhere() Scopes { return Scopes{{Service: Any, Environment: Any}} }

// Allow reports whether the service in the environment is within the scopes.
func (s Scopes) Allow(service, environment string) bool {
	return slices.ContainsFunc(s, func(c Scope) bool {
		return (c.Service == Any || c.Service == service) && (c.Environment == Any || c.Environment == environment)
	})
}

// Unrestricted reports whether nothing is outside the scopes.
func (s Scopes) Unrestricted() bool { return slices.Contains(s, Scope{Service: Any, Environment: Any}) }

// Principal is the identity behind a request.
type Principal struct {
	// Name is the same for every request of the same one, and never that of another. It stands in requested_by and in events.
	Name   string
	Role   Role
	Scopes Scopes
	// Anonymous means that credentials are switched off: principals cannot be distinguished.
	Anonymous bool
	// ExpiresAt is when the credential ends; zero for never.
	ExpiresAt time.Time
}

// Access is the result of an authorization.
type Access int

// The results. AccessHidden reveals to the principal no more than that there is no such object.
const (
	AccessHidden Access = iota
	AccessForbidden
	AccessAllowed
)

// Authorize returns whether the principal may do what needs the permission to a service in an environment. What is outside
// its scopes is hidden, regardless of its role.
func Authorize(p *Principal, needed Permission, service, environment string) Access {
	switch {
	case !p.Scopes.Allow(service, environment):
		return AccessHidden
	case !p.Role.Has(needed):
		return AccessForbidden
	default:
		return AccessAllowed
	}
}

// AuthorizePromotion returns a CodeForbidden error when the deployment is protected and the principal requested it itself:
// four eyes, not two. Without credentials principals cannot be distinguished, and every one may.
func AuthorizePromotion(p *Principal, d *rollout.Deployment) error {
	if !d.Spec.Protected || p.Anonymous || p.Name != d.RequestedBy {
		return nil
	}
	return &problem.Error{
		Code: problem.CodeForbidden, ID: d.ID,
		Message: p.Name + " asked for this deployment, and it is protected: someone else has to promote it",
	}
}

// Token is a credential that was given out. What proves it is shown once and never kept; only its SHA-256 is.
type Token struct {
	ID string
	// Name says whose it is. Tokens of the same name are the same principal's.
	Name   string
	Role   Role
	Scopes Scopes
	// CreatedBy is the principal who gave it out.
	CreatedBy string
	CreatedAt time.Time
	// ExpiresAt is zero for a token that does not expire. LastUsedAt is right to the minute, and zero before the first use.
	ExpiresAt  time.Time
	LastUsedAt time.Time
	// RevokedAt is zero while the token is good.
	RevokedAt time.Time
}

// TokenHash is the SHA-256 of a token. It cannot be compared with ==, whose time reveals how much of it was right.
type TokenHash struct {
	_   [0]func() // makes == a mistake that does not compile
	sum [sha256.Size]byte
}

// HashToken returns the hash of a token as it is sent.
func HashToken(token string) TokenHash { return TokenHash{sum: sha256.Sum256([]byte(token))} }

// StoredHash returns a hash as it was kept, see Stored. Bytes that are no hash equal that of no token.
func StoredHash(kept []byte) (h TokenHash) {
	if len(kept) == len(h.sum) {
		copy(h.sum[:], kept)
	}
	return h
}

// Stored returns the hash as it is kept.
func (h TokenHash) Stored() []byte { return h.sum[:] }

// Equal compares in constant time.
func (h TokenHash) Equal(other TokenHash) bool {
	return subtle.ConstantTimeCompare(h.sum[:], other.sum[:]) == 1
}

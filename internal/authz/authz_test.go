package authz_test

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"rollcall/internal/authz"
	"rollcall/internal/problem"
	"rollcall/internal/rollout"
)

// drawScopes draws scopes over few names, so that they often meet.
func drawScopes(t *rapid.T) authz.Scopes {
	names := rapid.SampledFrom([]string{"a", "b", "c", authz.Any})
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) authz.Scope {
		return authz.Scope{Service: names.Draw(t, "service"), Environment: names.Draw(t, "environment")}
	}), 0, 4).Draw(t, "scopes")
}

func drawRole(t *rapid.T) authz.Role {
	return rapid.SampledFrom(append(authz.Roles(), "", "root", "Admin")).Draw(t, "role")
}

func permissions() []authz.Permission {
	return []authz.Permission{
		authz.PermissionRead, authz.PermissionDeploy, authz.PermissionApprove, authz.PermissionAdmin,
	}
}

// covered decides the same as Scopes.Allow, in another way.
func covered(scopes authz.Scopes, service, environment string) bool {
	for _, s := range scopes {
		for _, scope := range [][2]string{
			{service, environment}, {service, "*"}, {"*", environment}, {"*", "*"},
		} {
			if s == (authz.Scope{Service: scope[0], Environment: scope[1]}) {
				return true
			}
		}
	}
	return false
}

func TestAuthorize_NeedsScopeAndRole(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		p := authz.Principal{Role: drawRole(t), Scopes: drawScopes(t)}
		needed := rapid.SampledFrom(append(permissions(), "", "fly")).Draw(t, "permission")
		service := rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "service")
		environment := rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "environment")

		inside := covered(p.Scopes, service, environment)
		role, need := slices.Index(authz.Roles(), p.Role), slices.Index(permissions(), needed)
		want := authz.AccessAllowed
		switch {
		case !inside:
			want = authz.AccessHidden
		case role < 0 || need < 0 || role < need:
			want = authz.AccessForbidden
		}
		if got := authz.Authorize(&p, needed, service, environment); got != want {
			t.Fatalf("%+v may %s %s in %s: %v, want %v", p, needed, service, environment, got, want)
		}
	})
}

func TestAuthorize_MoreNeverAllowsLess(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		p := authz.Principal{Role: rapid.SampledFrom(authz.Roles()).Draw(t, "role"), Scopes: drawScopes(t)}
		needed := rapid.SampledFrom(permissions()).Draw(t, "permission")
		before := authz.Authorize(&p, needed, "a", "b")
		wider := p
		wider.Scopes = append(slices.Clone(p.Scopes), drawScopes(t)...)
		if rapid.Bool().Draw(t, "promoted") {
			wider.Role = authz.Roles()[min(slices.Index(authz.Roles(), p.Role)+1, len(authz.Roles())-1)]
		}
		if after := authz.Authorize(&wider, needed, "a", "b"); after < before {
			t.Fatalf("%+v: %v, and %+v: %v", p, before, wider, after)
		}
	})
}

func TestAuthorize_ZeroPrincipalSeesNothing(t *testing.T) {
	t.Parallel()
	for _, needed := range permissions() {
		if v := authz.Authorize(&authz.Principal{}, needed, "a", "b"); v != authz.AccessHidden {
			t.Errorf("%s: %v", needed, v)
		}
		if v := authz.Authorize(&authz.Principal{Scopes: authz.Everywhere()}, needed, "a", "b"); v != authz.AccessForbidden {
			t.Errorf("%s without a role: %v", needed, v)
		}
	}
}

func TestAuthorizePromotion_RefusesRequester(t *testing.T) {
	t.Parallel()
	ann, bob := authz.Principal{Name: "ann"}, authz.Principal{Name: "bob"}
	anonymous := authz.Principal{Name: "ann", Anonymous: true}
	for _, protected := range []bool{false, true} {
		d := rollout.Deployment{RequestedBy: "ann"}
		d.Spec.Protected = protected
		if err := authz.AuthorizePromotion(&ann, &d); (problem.CodeOf(err) == problem.CodeForbidden) != protected {
			t.Errorf("protected %t: ann herself: %v", protected, err)
		}
		for _, other := range []*authz.Principal{&bob, &anonymous} {
			if err := authz.AuthorizePromotion(other, &d); err != nil {
				t.Errorf("protected %t: %+v: %v", protected, other, err)
			}
		}
	}
}

func TestTokenHash_EqualsSameTokenOnly(t *testing.T) {
	t.Parallel()
	h := authz.HashToken("a token")
	if !h.Equal(authz.HashToken("a token")) || !h.Equal(authz.StoredHash(h.Stored())) {
		t.Error("it is not equal to itself")
	}
	flipped := h.Stored()
	flipped = append([]byte{flipped[0] ^ 1}, flipped[1:]...)
	for name, other := range map[string]authz.TokenHash{
		"another token": authz.HashToken("another"), "one bit": authz.StoredHash(flipped), "none": {},
		"cut short": authz.StoredHash(h.Stored()[1:]), "too long": authz.StoredHash(append(h.Stored(), 0)), "nothing kept": authz.StoredHash(nil),
	} {
		if h.Equal(other) {
			t.Errorf("%s is equal", name)
		}
	}
}

package rollout_test

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"rollcall/internal/problem"
	"rollcall/internal/rollout"
)

// drawScopes draws scopes over few names, so that they often meet.
func drawScopes(t *rapid.T) rollout.Scopes {
	names := rapid.SampledFrom([]string{"a", "b", "c", rollout.Any})
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) rollout.Scope {
		return rollout.Scope{Service: names.Draw(t, "service"), Environment: names.Draw(t, "environment")}
	}), 0, 4).Draw(t, "scopes")
}

func drawRole(t *rapid.T) rollout.Role {
	return rapid.SampledFrom(append(rollout.Roles(), "", "root", "Admin")).Draw(t, "role")
}

func permissions() []rollout.Permission {
	return []rollout.Permission{
		rollout.PermissionRead, rollout.PermissionDeploy, rollout.PermissionApprove, rollout.PermissionAdmin,
	}
}

// covered says it again in other words than Scopes.Cover.
func covered(scopes rollout.Scopes, service, environment string) bool {
	for _, s := range scopes {
		for _, pair := range [][2]string{
			{service, environment}, {service, "*"}, {"*", environment}, {"*", "*"},
		} {
			if s == (rollout.Scope{Service: pair[0], Environment: pair[1]}) {
				return true
			}
		}
	}
	return false
}

func TestNobodyIsAllowedWhatScopeOrRoleDoesNotBring(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		p := rollout.Principal{Role: drawRole(t), Scopes: drawScopes(t)}
		needed := rapid.SampledFrom(append(permissions(), "", "fly")).Draw(t, "permission")
		service := rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "service")
		environment := rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "environment")

		inside := covered(p.Scopes, service, environment)
		role, need := slices.Index(rollout.Roles(), p.Role), slices.Index(permissions(), needed)
		want := rollout.VerdictAllowed
		switch {
		case !inside:
			want = rollout.VerdictHidden
		case role < 0 || need < 0 || role < need:
			want = rollout.VerdictForbidden
		}
		if got := rollout.May(&p, needed, service, environment); got != want {
			t.Fatalf("%+v may %s %s in %s: %v, want %v", p, needed, service, environment, got, want)
		}
	})
}

func TestMoreRoleOrMoreScopeNeverAllowsLess(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		p := rollout.Principal{Role: rapid.SampledFrom(rollout.Roles()).Draw(t, "role"), Scopes: drawScopes(t)}
		needed := rapid.SampledFrom(permissions()).Draw(t, "permission")
		before := rollout.May(&p, needed, "a", "b")
		wider := p
		wider.Scopes = append(slices.Clone(p.Scopes), drawScopes(t)...)
		if rapid.Bool().Draw(t, "promoted") {
			wider.Role = rollout.Roles()[min(slices.Index(rollout.Roles(), p.Role)+1, len(rollout.Roles())-1)]
		}
		if after := rollout.May(&wider, needed, "a", "b"); after < before {
			t.Fatalf("%+v: %v, and %+v: %v", p, before, wider, after)
		}
	})
}

func TestTheZeroPrincipalSeesNothing(t *testing.T) {
	t.Parallel()
	for _, needed := range permissions() {
		if v := rollout.May(&rollout.Principal{}, needed, "a", "b"); v != rollout.VerdictHidden {
			t.Errorf("%s: %v", needed, v)
		}
		if v := rollout.May(&rollout.Principal{Scopes: rollout.Everywhere()}, needed, "a", "b"); v != rollout.VerdictForbidden {
			t.Errorf("%s without a role: %v", needed, v)
		}
	}
}

func TestWhoAskedForAProtectedDeploymentDoesNotPromoteIt(t *testing.T) {
	t.Parallel()
	ann, bob := rollout.Principal{Name: "ann"}, rollout.Principal{Name: "bob"}
	nobody := rollout.Principal{Name: "ann", Anyone: true}
	for _, protected := range []bool{false, true} {
		d := rollout.Deployment{RequestedBy: "ann"}
		d.Spec.Protected = protected
		if err := rollout.MayPromote(&ann, &d); (problem.CodeOf(err) == problem.CodeForbidden) != protected {
			t.Errorf("protected %t: ann herself: %v", protected, err)
		}
		for _, other := range []*rollout.Principal{&bob, &nobody} {
			if err := rollout.MayPromote(other, &d); err != nil {
				t.Errorf("protected %t: %+v: %v", protected, other, err)
			}
		}
	}
}

func TestAHashOfATokenEqualsThatOfTheSameTokenAlone(t *testing.T) {
	t.Parallel()
	h := rollout.HashToken("a token")
	if !h.Equal(rollout.HashToken("a token")) || !h.Equal(rollout.StoredHash(h.Stored())) {
		t.Error("it is not equal to itself")
	}
	flipped := h.Stored()
	flipped = append([]byte{flipped[0] ^ 1}, flipped[1:]...)
	for name, other := range map[string]rollout.TokenHash{
		"another token": rollout.HashToken("another"), "one bit": rollout.StoredHash(flipped), "none": {},
		"cut short": rollout.StoredHash(h.Stored()[1:]), "too long": rollout.StoredHash(append(h.Stored(), 0)), "nothing kept": rollout.StoredHash(nil),
	} {
		if h.Equal(other) {
			t.Errorf("%s is equal", name)
		}
	}
}

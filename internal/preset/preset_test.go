package preset_test

import (
	"slices"
	"strings"
	"testing"

	"rollcall/internal/preset"
	"rollcall/internal/request"
	"rollcall/internal/secret"
)

func TestPresets_AreSortedAndDescribed(t *testing.T) {
	t.Parallel()
	all := preset.All()
	if !slices.IsSortedFunc(all, func(a, b preset.Preset) int { return strings.Compare(a.Name, b.Name) }) {
		t.Error("the names are not in order")
	}
	for _, p := range all {
		if p.Summary == "" || len(p.Params) == 0 {
			t.Errorf("%s is not described", p.Name)
		}
	}
}

func TestExpand_RequestsAreValid(t *testing.T) {
	t.Parallel()
	for name, params := range map[string]map[string]secret.Secret{
		"adnanh-webhook": {"hook": "deploy", "prefix": "a/b"}, "portainer": {"webhook": "1b2-c"}, "watchtower": {"token": "a{b}c"},
	} {
		got, found := preset.Expand(name, params)
		if found != nil {
			t.Errorf("%s: %v", name, found)
		}
		if wrong := got.Request.Validate(request.TargetNames); wrong != nil {
			t.Errorf("%s: %v", name, wrong)
		}
	}
}

func TestExpand_FaultsAreNamed(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, pointer string
		params        map[string]secret.Secret
	}{
		{"jenkins-x", "/preset", nil},
		{"adnanh-webhook", "/params/hook", nil},
		{"adnanh-webhook", "/params/hook", map[string]secret.Secret{"hook": "../x"}},
		{"adnanh-webhook", "/params/hook", map[string]secret.Secret{"hook": "{version}"}},
		{"adnanh-webhook", "/params/colour", map[string]secret.Secret{"hook": "x", "colour": "red"}},
		{"watchtower", "/params/token", map[string]secret.Secret{"token": "a\nb"}},
	} {
		if _, found := preset.Expand(c.name, c.params); len(found) != 1 || found[0].Pointer != c.pointer {
			t.Errorf("%s: %v", c.name, found)
		}
	}
}

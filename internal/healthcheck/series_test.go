package healthcheck_test

import (
	"testing"

	"rollcall/internal/healthcheck"
)

func TestSelector_OnlyWhatAPageCanHave(t *testing.T) {
	t.Parallel()
	for _, good := range []string{
		"up", " up ", "a:b_1", `x{}`, `x { a = "b" , }`, `{"a.b"}`, `{"a.b",l="v"}`, `{"a.b", "l.x"="v\"\\\n"}`, `{l="v","a.b"}`,
		`{"größe"}`, `x{"l.x"="v"}`,
	} {
		if s, err := healthcheck.ParseSelector(good); err != nil || s.Name == "" {
			t.Errorf("%s: %+v %v", good, s, err)
		}
	}
	for _, bad := range []string{
		"", "{}", `x{code=~"5.."}`, `x{code!="5"}`, `x{code='5'}`, "rate(x[1m])", "x[1m]", "sum(x)", "x > 1", "1x", "x{", `x{a}`, `x{a="b"`,
		`{l="v"}`, `{"a","b"}`, `x{"y"}`, `{""}`, `x{""="v"}`, `x{1a="v"}`, "x y", "x 1", `"x"`, "größe", "x offset 5m", `x{a="b"} @ 1`,
	} {
		if s, err := healthcheck.ParseSelector(bad); err == nil {
			t.Errorf("%s is read as %+v", bad, s)
		}
	}
}

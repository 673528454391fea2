package api_test

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
)

func TestList_CanBeReadInPages(t *testing.T) {
	t.Parallel()
	c, _ := serveStored(t)
	var newestFirst []any
	for i := range 5 {
		newestFirst = slices.Insert(newestFirst, 0, any(c.created(with("version", fmt.Sprintf(`"v%d"`, i)))))
	}
	if got := c.pages("/deployments?service=checkout", "id"); !slices.Equal(got, newestFirst) {
		t.Errorf("%v, want %v", got, newestFirst)
	}
	id := c.created(with("targets", `[{"id":"a","address":"http://a"},{"id":"b","address":"http://b"},{"id":"c","address":"http://c"}]`))
	if got := c.pages("/deployments/"+id+"/targets?", "id"); !slices.Equal(got, []any{"a", "b", "c"}) {
		t.Errorf("targets %v", got)
	}
	if got := c.pages("/deployments/"+id+"/events?", "seq"); len(got) == 0 || got[0] != 1.0 {
		t.Errorf("events %v", got)
	}
}

// pages reads a list in pages of two.
func (c *client) pages(path, field string) (all []any) {
	c.t.Helper()
	for cursor := ""; ; cursor = "&cursor=" + cursor {
		values, next := c.items(path+"&limit=2"+cursor, field)
		all = append(all, values...)
		if next == "" {
			return all
		}
		if len(values) != 2 {
			c.t.Fatalf("a page of %d, and there is more", len(values))
		}
		cursor = next
	}
}

func TestCursor_InvalidIsRefused(t *testing.T) {
	t.Parallel()
	c, _ := serveStored(t)
	id := c.created(with("force", "true"))
	for _, path := range []string{"/deployments?", "/deployments/" + id + "/targets?", "/deployments/" + id + "/events?"} {
		for _, cursor := range []string{"x", "AAAA", "%21", "9999999999999999999999"} {
			c.get(path+"cursor="+cursor).wantProblem(t, http.StatusUnprocessableEntity, "/cursor")
		}
	}
}

// A cursor is only encoded text: a caller that decodes one can write values that no list returns.
func TestCursor_ForgedIsNoServerError(t *testing.T) {
	t.Parallel()
	c, _ := serveStored(t)
	id := c.created(with("force", "true"))
	const anyID = ":01890000-0000-7000-8000-000000000000"
	forged := map[string][]string{
		"/deployments?":                    {"d:-9223372036854775808" + anyID, "d:9223372036854775807" + anyID, "d:-210866803200000001" + anyID},
		"/tokens?":                         {"d:-9223372036854775808" + anyID, "d:-210866803200000001" + anyID},
		"/deployments/" + id + "/targets?": {"t:2147483648", "t:9223372036854775807"},
		"/deployments/" + id + "/events?":  {"e:2147483648", "e:9223372036854775807"},
		"/services?":                       {"s:a\x00 b", "s:\xff b", "s:a b\x00", "s:\xed\xa0\x80 b"},
		"/gitops/sources?":                 {"g:a\x00", "g:\xff"},
		"/notifications?":                  {"n:a\x00", "n:\xff"},
	}
	for path, cursors := range forged {
		for _, cursor := range cursors {
			encoded := base64.RawURLEncoding.EncodeToString([]byte(cursor))
			got := c.get(path + "cursor=" + encoded)
			if beyond := strings.HasPrefix(cursor, "t:") || strings.HasPrefix(cursor, "e:"); beyond && got.StatusCode == http.StatusOK {
				continue // nothing comes after so large a number
			}
			if got.StatusCode != http.StatusUnprocessableEntity {
				t.Errorf("%s with the cursor %q: %d %s", path, cursor, got.StatusCode, got.body)
			}
		}
	}
}

func TestList_FiltersSelect(t *testing.T) {
	t.Parallel()
	c, _ := serveStored(t)
	old := c.created(with("version", `"v1"`))
	staged := c.created(with("environment", `"staging"`))
	newest := c.created(with("version", `"v2"`))
	created, _ := c.get("/deployments/" + newest).object(t)["created_at"].(string)
	for query, want := range map[string][]any{
		"":                                    {newest, staged, old},
		"service=checkout":                    {newest, staged, old},
		"service=other":                       {},
		"environment=staging":                 {staged},
		"state=superseded":                    {old},
		"version=v1":                          {old},
		"state=pending&version=v2":            {newest, staged},
		"since=" + created:                    {newest},
		"until=" + created:                    {staged, old},
		"since=2999-01-01T00:00:00Z":          {},
		"until=1999-12-31T23:59:59.5%2B01:00": {},
	} {
		got, _ := c.items("/deployments?"+query, "id")
		if !slices.Equal(got, want) && len(got)+len(want) > 0 {
			t.Errorf("%s: %v, want %v", query, got, want)
		}
	}
}

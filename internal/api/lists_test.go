package api_test

import (
	"fmt"
	"net/http"
	"slices"
	"testing"
)

func TestListsCanBeReadInPages(t *testing.T) {
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

func TestACursorThatNobodyGaveOutIsRefused(t *testing.T) {
	t.Parallel()
	c, _ := serveStored(t)
	id := c.created(with("force", "true"))
	for _, path := range []string{"/deployments?", "/deployments/" + id + "/targets?", "/deployments/" + id + "/events?"} {
		for _, cursor := range []string{"x", "AAAA", "%21", "9999999999999999999999"} {
			c.get(path+"cursor="+cursor).wantProblem(t, http.StatusUnprocessableEntity, "/cursor")
		}
	}
}

func TestFiltersSelect(t *testing.T) {
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

package api_test

import (
	"net/http"
	"testing"

	"rollcall/internal/api"
	"rollcall/internal/dbtest"
	"rollcall/internal/store"
)

// serveStored starts the API on a database of its own.
func serveStored(t *testing.T) (*client, *store.Store) {
	t.Helper()
	s, err := store.Open(t.Context(), dbtest.New(t), store.SealedBy(dbtest.NewKeyring(t)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return serve(t, api.Config{Store: s, CheckAddress: forbid}), s
}

// created posts a good request and answers with its id.
func (c *client) created(body string, headers ...string) string {
	c.t.Helper()
	id, _ := c.post(body, headers...).want(c.t, http.StatusAccepted).object(c.t)["id"].(string)
	return id
}

// items are the items of a list, whole and by their field.
func (c *client) items(path, field string) (values []any, next string) {
	c.t.Helper()
	list := c.get(path).want(c.t, http.StatusOK).object(c.t)
	items, ok := list["items"].([]any)
	if !ok {
		c.t.Fatalf("%s: no items: %v", path, list)
	}
	for _, item := range items {
		object, _ := item.(map[string]any)
		values = append(values, object[field])
	}
	next, _ = list["next_cursor"].(string)
	return values, next
}

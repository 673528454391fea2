package web

import (
	"net/url"
	"time"

	"rollcall/internal/rollout"
	"rollcall/internal/storage"
)

// historyPage lists the deployments that match a filter, newest first. The filter is in the address, so that it can be shared.
type historyPage struct {
	Filter       storage.Filter
	Since, Until string
	States       []rollout.State
	Items        []rollout.Deployment
	RolledBackBy map[string]string
	Next         string
}

const historyPerPage = 50

func (s *site) showHistory(v *pageRequest) error {
	q := v.r.URL.Query()
	page := historyPage{States: rollout.States(), Since: q.Get("since"), Until: q.Get("until"), Filter: storage.Filter{
		Service: q.Get("service"), Environment: q.Get("environment"), Version: q.Get("version"), State: rollout.State(q.Get("state")),
	}}
	page.Filter.Since = parseDay(page.Since)
	if until := parseDay(page.Until); !until.IsZero() {
		page.Filter.Until = until.AddDate(0, 0, 1) // include that day
	}
	list, err := s.Store.Deployments(v.r.Context(), v.principal.Scopes, page.Filter, storage.Page{Limit: historyPerPage, Cursor: q.Get("cursor")})
	if err != nil {
		return err
	}
	page.Items = list.Items
	if list.NextCursor != "" {
		page.Next = withCursor(q, list.NextCursor)
	}
	ids := make([]string, len(list.Items))
	for i := range list.Items {
		ids[i] = list.Items[i].ID
	}
	if page.RolledBackBy, err = s.Store.RolledBackBy(v.r.Context(), ids); err != nil {
		return err
	}
	s.renderPage(v, "page_history.html", "History", "history", page)
	return nil
}

// parseDay parses a date; it returns the zero time for an invalid one.
func parseDay(text string) time.Time {
	day, err := time.Parse(time.DateOnly, text)
	if err != nil {
		return time.Time{}
	}
	return day
}

// withCursor returns the query of the next page.
func withCursor(q url.Values, cursor string) string {
	next := url.Values{}
	for name, values := range q {
		if len(values) > 0 && values[0] != "" {
			next.Set(name, values[0])
		}
	}
	next.Set("cursor", cursor)
	return "?" + next.Encode()
}

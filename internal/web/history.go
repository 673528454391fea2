package web

import (
	"net/url"
	"time"

	"rollcall/internal/rollout"
)

// historyPage is the deployments that a filter selects, newest first. The filter is in the address, so that it can be shared.
type historyPage struct {
	Filter       rollout.Filter
	Since, Until string
	States       []rollout.State
	Items        []rollout.Deployment
	RolledBackBy map[string]string
	Next         string
}

const historyPerPage = 50

func (s *site) showHistory(v *visit) error {
	q := v.r.URL.Query()
	page := historyPage{States: rollout.States(), Since: q.Get("since"), Until: q.Get("until"), Filter: rollout.Filter{
		Service: q.Get("service"), Environment: q.Get("environment"), Version: q.Get("version"), State: rollout.State(q.Get("state")),
	}}
	page.Filter.Since = dayOf(page.Since)
	if until := dayOf(page.Until); !until.IsZero() {
		page.Filter.Until = until.AddDate(0, 0, 1) // the day that is named is part of it
	}
	list, err := s.Store.Deployments(v.r.Context(), v.who.Scopes, page.Filter, rollout.Page{Limit: historyPerPage, Cursor: q.Get("cursor")})
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
	s.show(v, "page_history.html", "History", "history", page)
	return nil
}

// dayOf reads what a date field says; the zero time for nothing.
func dayOf(text string) time.Time {
	day, err := time.Parse(time.DateOnly, text)
	if err != nil {
		return time.Time{}
	}
	return day
}

// withCursor is the same selection from a later place on.
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

package client

import (
	"context"
	"iter"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"rollcall/internal/api/gen"
)

// longPoll is how long the server waits for something new.
const longPoll = 20 * time.Second

// Newer waits until a deployment is newer than a revision, for some time, and gives it as it is then.
func (c *Client) Newer(ctx context.Context, id string, revision int64) (gen.Deployment, error) {
	query := url.Values{"wait": {longPoll.String()}, "after": {strconv.FormatInt(revision, 10)}}
	return Ask[gen.Deployment](ctx, c, Request{Method: http.MethodGet, Path: "/deployments/" + id, Query: query, Wait: longPoll})
}

// Ended reports whether nothing can change any more.
func Ended(d *gen.Deployment) bool { return d.Result != nil || d.FinishedAt != nil }

// Items reads a list to its end, or until it has so many; 0 is all.
func Items[T any](ctx context.Context, c *Client, path string, query url.Values, most int) ([]T, error) {
	items := []T{}
	for item, err := range Each[T](ctx, c, path, query, most) {
		if err != nil {
			return nil, err
		}
		items = append(items, item)
	}
	return items, nil
}

// Each gives the items of a list one by one and keeps none of them; at most so many, or all when most is 0. After an error
// nothing comes.
func Each[T any](ctx context.Context, c *Client, path string, query url.Values, most int) iter.Seq2[T, error] {
	type page struct {
		Items []T     `json:"items"`
		Next  *string `json:"next_cursor"`
	}
	return func(yield func(T, error) bool) {
		given := 0
		for next := (*string)(nil); ; {
			got, err := Ask[page](ctx, c, Get(path, paged(query, next, most-given)))
			if err != nil {
				var none T
				yield(none, err)
				return
			}
			for _, item := range got.Items {
				if !yield(item, nil) {
					return
				}
			}
			given += len(got.Items)
			if next = got.Next; next == nil || most > 0 && given >= most {
				return
			}
		}
	}
}

func paged(query url.Values, cursor *string, wanted int) url.Values {
	const most = 200
	q := url.Values{"limit": {strconv.Itoa(most)}}
	if wanted > 0 {
		q.Set("limit", strconv.Itoa(min(wanted, most)))
	}
	for name, values := range query {
		q[name] = values
	}
	if cursor != nil {
		q.Set("cursor", *cursor)
	}
	return q
}

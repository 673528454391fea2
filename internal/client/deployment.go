package client

import (
	"context"
	"iter"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"rollcall/internal/api/types"
)

// longPoll is how long the server waits for a new revision.
const longPoll = 20 * time.Second

// WaitForChange waits until a deployment is newer than a revision, for as long as longPoll, and returns it.
func (c *Client) WaitForChange(ctx context.Context, id string, revision int64) (types.Deployment, error) {
	query := url.Values{"wait": {longPoll.String()}, "after": {strconv.FormatInt(revision, 10)}}
	return Call[types.Deployment](ctx, c, Request{Method: http.MethodGet, Path: "/deployments/" + id, Query: query, Wait: longPoll})
}

// HasEnded reports whether a deployment has ended.
func HasEnded(d *types.Deployment) bool { return d.Result != nil || d.FinishedAt != nil }

// List returns the items of a list, at most limit unless that is 0.
func List[T any](ctx context.Context, c *Client, path string, query url.Values, limit int) ([]T, error) {
	items := []T{}
	for item, err := range Iterate[T](ctx, c, path, query, limit) {
		if err != nil {
			return nil, err
		}
		items = append(items, item)
	}
	return items, nil
}

// Iterate yields the items of a list, at most limit unless that is 0, without keeping them. It ends after an error.
func Iterate[T any](ctx context.Context, c *Client, path string, query url.Values, limit int) iter.Seq2[T, error] {
	type page struct {
		Items []T     `json:"items"`
		Next  *string `json:"next_cursor"`
	}
	return func(yield func(T, error) bool) {
		count := 0
		for next := (*string)(nil); ; {
			got, err := Call[page](ctx, c, Get(path, pageQuery(query, next, limit-count)))
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
			count += len(got.Items)
			if next = got.Next; next == nil || limit > 0 && count >= limit {
				return
			}
		}
	}
}

func pageQuery(query url.Values, cursor *string, limit int) url.Values {
	const maxPage = 200
	q := url.Values{"limit": {strconv.Itoa(maxPage)}}
	if limit > 0 {
		q.Set("limit", strconv.Itoa(min(limit, maxPage)))
	}
	for name, values := range query {
		q[name] = values
	}
	if cursor != nil {
		q.Set("cursor", *cursor)
	}
	return q
}

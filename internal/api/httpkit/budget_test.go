package httpkit

import (
	"context"
	"errors"
	"testing"
	"time"
)

func TestQueryBudget_KeepsNothingOfAnExtension(t *testing.T) {
	t.Parallel()
	ctx, stop := WithQueryBudget(t.Context(), time.Minute)
	defer stop()
	before, _ := ctx.Deadline()
	created := ExtendBudget(ctx, 10*time.Second)
	if extended, _ := ctx.Deadline(); !extended.Equal(before.Add(10 * time.Second)) {
		t.Errorf("a creation may take until %s, not 10s longer than until %s", extended, before)
	}
	created()
	if after, _ := ctx.Deadline(); after.Before(before) || after.After(before.Add(9*time.Second)) {
		t.Errorf("after a creation that took no time the budget ends at %s, before it at %s", after, before)
	}
}

func TestQueryBudget_EndsQueriesButNotOtherCalls(t *testing.T) {
	t.Parallel()
	request, leave := context.WithCancel(t.Context())
	ctx, stop := WithQueryBudget(request, time.Millisecond)
	defer stop()
	query, cancel := context.WithTimeout(ctx, time.Hour)
	defer cancel()
	<-query.Done()
	if !errors.Is(query.Err(), context.DeadlineExceeded) || WithoutBudget(query).Err() != nil {
		t.Errorf("the query ends with %v, the request with %v", query.Err(), WithoutBudget(query).Err())
	}
	ctx, stop = WithQueryBudget(request, time.Hour)
	defer stop()
	leave()
	<-ctx.Done()
	if !errors.Is(ctx.Err(), context.Canceled) {
		t.Errorf("without its caller a request ends with %v", ctx.Err())
	}
}

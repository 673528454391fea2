package api

import (
	"context"
	"testing"
	"time"
)

func TestWhatALargeCreationMayTakeLongerIsNotTakenFromTheNextQuestion(t *testing.T) {
	t.Parallel()
	asks := &patience{}
	ctx := context.WithValue(t.Context(), keyPatience, asks)
	b := bounded{limit: time.Minute}
	_, created := b.creating(ctx, 10_000)
	created()
	if asks.spent() != 0 {
		t.Errorf("a creation that took less than its targets may take has cost %s", asks.spent())
	}
	_, answered := b.within(ctx, 0)
	answered()
	if asks.spent() == 0 {
		t.Error("a question has cost nothing")
	}
}

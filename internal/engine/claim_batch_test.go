package engine

import "testing"

func TestClaimBatch_GrowsUntilClaimFails(t *testing.T) {
	t.Parallel()
	b := newClaimBatch()
	for range 10 {
		b.grow()
	}
	if b.limit != maxClaimLimit {
		t.Errorf("it grows to %d, not to %d", b.limit, maxClaimLimit)
	}
	b.shrink()
	b.grow()
	if b.limit != maxClaimLimit/2 {
		t.Errorf("after a claim that failed it is %d, not %d", b.limit, maxClaimLimit/2)
	}
	for range 10 {
		b.shrink()
	}
	if b.limit != 1 {
		t.Errorf("it shrinks to %d, not to 1", b.limit)
	}
}

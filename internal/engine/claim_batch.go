package engine

const (
	// firstClaimLimit is how many of the largest deployments can be loaded within queryTimeout.
	firstClaimLimit = 10
	// maxClaimLimit is how many small ones are claimed at once while there is a backlog: each poll costs a round trip.
	maxClaimLimit = 80
)

// claimBatch is how many deployments to claim at once.
type claimBatch struct{ limit, ceiling int }

func newClaimBatch() claimBatch { return claimBatch{limit: firstClaimLimit, ceiling: maxClaimLimit} }

// grow doubles the limit after a claim that was as large as the limit.
func (b *claimBatch) grow() { b.limit = min(2*b.limit, b.ceiling) }

// shrink halves the limit after a claim that failed: it may have been too much within queryTimeout. It does not grow again until
// the backlog is worked off.
func (b *claimBatch) shrink() {
	b.limit = max(b.limit/2, 1)
	b.ceiling = b.limit
}

package store_test

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"rollcall/internal/rollout"
	"rollcall/internal/storage"
)

// BenchmarkSave_OfManyDeployments saves many deployments at once, as a busy server does. With TEST_DATABASE_URL it does so on a
// database that flushes to disk.
func BenchmarkSave_OfManyDeployments(b *testing.B) {
	const writers = 16
	s := open(b)
	_, err := s.Heartbeat(b.Context(), "a", time.Hour)
	must(b, err)
	for i := range writers {
		createDeployment(b, s, request(fmt.Sprintf("service-%d", i), 1))
	}
	claimed, _, err := s.ClaimDeployments(b.Context(), "a", nil, writers)
	must(b, err)
	var next atomic.Int32
	b.SetParallelism(writers)
	b.RunParallel(func(p *testing.PB) {
		i := int(next.Add(1) - 1)
		if i >= len(claimed) {
			return // it starts as many for each processor
		}
		d := claimed[i].Snapshot.Deployment
		for p.Next() {
			saved, err := s.SaveDeployment(b.Context(), storage.SaveRequest{
				Deployment: d, Events: []rollout.Event{{At: time.Now(), Type: rollout.EventWaveStarted}}, RunAt: d.CreatedAt.Add(time.Hour),
			})
			must(b, err)
			d.Revision, d.LastSeq, d.Saves, d.EventsHash = saved.Revision, saved.LastSeq, saved.Saves, saved.EventsHash
		}
	})
}

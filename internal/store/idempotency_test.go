package store_test

import (
	"testing"
)

func TestKey_PermanentNeverExpires(t *testing.T) {
	t.Parallel()
	s := open(t)
	permanent, passing := request("checkout", 1), request("search", 1)
	permanent.Key, passing.Key = key("permanent", "x"), key("passing", "x")
	permanent.Key.NoExpiry = true
	first := createDeployment(t, s, permanent)
	createDeployment(t, s, passing)
	exec(t, s, `UPDATE idempotency_keys SET created_at = created_at - interval '1 year'`)
	must(t, s.DeleteExpiredRecords(ctx(t)))
	again, err := s.CreateDeployment(ctx(t), permanent)
	must(t, err)
	if !again.Replayed || again.Deployment.ID != first.ID {
		t.Errorf("a permanent key makes another deployment: %+v", again)
	}
	if found, replayed, err := s.CreatedUnderKey(ctx(t), permanent.Key); err != nil || !replayed || found.Deployment.ID != first.ID {
		t.Errorf("a permanent key is forgotten: %v", err)
	}
	if _, replayed, err := s.CreatedUnderKey(ctx(t), passing.Key); err != nil || replayed {
		t.Errorf("an ordinary key is remembered: %v", err)
	}
}

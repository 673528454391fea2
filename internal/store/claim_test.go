package store_test

import (
	"reflect"
	"testing"
	"time"
)

func TestHeartbeat_ReturnsDatabaseTimePrunesDead(t *testing.T) {
	t.Parallel()
	s := open(t)
	_, err := s.Heartbeat(ctx(t), "old", -2*time.Hour)
	must(t, err)
	now, err := s.Heartbeat(ctx(t), "r1", lease)
	must(t, err)
	if off := time.Since(now); off < -time.Minute || off > time.Minute || now.Location() != time.UTC {
		t.Errorf("the time is %s", now)
	}
	var ids []string
	must(t, s.Pool().QueryRow(ctx(t), `SELECT array_agg(id) FROM replicas`).Scan(&ids))
	if !reflect.DeepEqual(ids, []string{"r1"}) {
		t.Errorf("replicas: %v", ids)
	}
}

package engine

import (
	"testing"
	"time"
)

func TestClock_SlowReadingMovesNothing(t *testing.T) {
	t.Parallel()
	start := time.Now()
	c := databaseClock{database: start, at: start}
	truth := func(at time.Time) time.Time { return at.Add(time.Hour) }
	c.addReading(start, start.Add(time.Millisecond), truth(start))
	for round := range 100 {
		asked := start.Add(time.Duration(round) * 2 * time.Second)
		for _, took := range []time.Duration{time.Millisecond, 1750 * time.Millisecond} {
			end := asked.Add(took)
			c.addReading(asked, end, truth(asked)) // it was read as soon as it was asked for
			if off := c.timeAt(end).Sub(truth(end)); off.Abs() > time.Millisecond {
				t.Fatalf("after %d readings it is off by %s", round, off)
			}
		}
	}
}

func TestClock_SmallStepIsFollowedSlowly(t *testing.T) {
	t.Parallel()
	start := time.Now()
	c := databaseClock{database: start, at: start}
	c.addReading(start, start, start)
	c.addReading(start, start, start.Add(time.Second))
	for after, want := range map[time.Duration]time.Duration{
		0: 0, 10 * time.Second: 10100 * time.Millisecond, 200 * time.Second: 201 * time.Second,
	} {
		if got := c.timeAt(start.Add(after)).Sub(start); got != want {
			t.Errorf("after %s it has moved by %s, not %s", after, got, want)
		}
	}
}

func TestClock_SlowFirstReadingIsReplaced(t *testing.T) {
	t.Parallel()
	start := time.Now()
	c := databaseClock{database: start, at: start}
	c.addReading(start, start.Add(time.Second), start.Add(time.Hour))
	asked := start.Add(2 * time.Second)
	c.addReading(asked, asked.Add(time.Millisecond), asked.Add(time.Hour))
	if off := c.timeAt(asked).Sub(asked.Add(time.Hour)); off.Abs() > time.Millisecond {
		t.Errorf("it is off by %s", off)
	}
}

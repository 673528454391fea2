package engine

import "time"

// databaseClock estimates the database's clock. Between two readings it follows the monotonic clock: a step of this
// machine's clock has no effect.
//
// A reading is worth no more than its answer was fast: the database's clock was read at some moment of the round trip. A
// reading that the clock may agree with changes nothing, so that a slow one makes no wait shorter; one that it cannot agree
// with is followed slowly.
type databaseClock struct {
	// The database's clock as it was at a moment of ours, and what is still to be added to it.
	database, at time.Time
	missing      time.Duration
	// settled is true once a reading was fast enough to be trusted.
	settled bool
	last    time.Time // the newest time handed out, so that time never runs backwards
}

const (
	// maxJitter is how far a reading may be behind the time returned before and count as the same clock. A clock that is
	// behind was set, and is followed: else time would stand still until it has caught up.
	maxJitter = 2 * time.Second
	// fastReading is how long a reading may take that is trusted.
	fastReading = 100 * time.Millisecond
	// slewShare is the share of the time that goes by in which the clock is corrected: a hundredth.
	slewShare = 100
)

// timeAt returns the clock at a local time.
func (c *databaseClock) timeAt(at time.Time) time.Time {
	passed := at.Sub(c.at)
	maxSlew := passed / slewShare
	return c.database.Add(passed + min(max(c.missing, -maxSlew), maxSlew))
}

// addReading takes a reading that was requested at start and arrived at end.
func (c *databaseClock) addReading(start, end, database time.Time) {
	took := end.Sub(start)
	now := c.timeAt(end)
	off := time.Duration(0) // from now to what the reading allows
	switch earliest, latest := database, database.Add(took); {
	case now.Before(earliest):
		off = earliest.Sub(now)
	case now.After(latest):
		off = latest.Sub(now)
	}
	if off.Abs() > maxJitter || off != 0 && !c.settled {
		now, off = database.Add(took/2), 0
	}
	c.database, c.at, c.missing = now, end, off
	c.settled = c.settled || took <= fastReading
}

// now returns the current time, in whole microseconds as the database stores them.
func (c *databaseClock) now() time.Time {
	now := c.timeAt(time.Now()).UTC().Round(0).Truncate(time.Microsecond)
	if c.last.Sub(now) > 0 && c.last.Sub(now) <= maxJitter {
		return c.last
	}
	c.last = now
	return now
}

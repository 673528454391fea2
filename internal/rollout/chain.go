package rollout

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"time"
)

// Hash is one link in the chain of a deployment's events. The zero Hash means that there is none.
type Hash [sha256.Size]byte

// IsZero reports whether there is no hash.
func (h Hash) IsZero() bool { return h == Hash{} }

// String returns the hash in hexadecimal digits, empty for none.
func (h Hash) String() string {
	if h.IsZero() {
		return ""
	}
	return hex.EncodeToString(h[:])
}

// MarshalText returns what String does.
func (h Hash) MarshalText() ([]byte, error) { return []byte(h.String()), nil }

// UnmarshalText reads what MarshalText writes.
func (h *Hash) UnmarshalText(text []byte) error {
	*h = Hash{}
	if len(text) == 0 {
		return nil
	}
	if len(text) != hex.EncodedLen(len(h)) {
		return fmt.Errorf("a hash has %d hexadecimal digits, not %d", hex.EncodedLen(len(h)), len(text))
	}
	if _, err := hex.Decode(h[:], text); err != nil {
		return fmt.Errorf("read a hash: %w", err)
	}
	return nil
}

// AppendEvents completes the events that come next in d's log with all that is stored of them, but for the id that the database draws:
// number, deployment and hash; and where they name none the given time and replica, d's epoch and the engine as actor. d's
// LastSeq and EventsHash become those of the last one. What was given is left as it is.
func (d *Deployment) AppendEvents(events []Event, replica string, now time.Time) []Event {
	appended := make([]Event, len(events))
	for i, e := range events {
		d.LastSeq++
		e.Seq, e.DeploymentID = d.LastSeq, d.ID
		e.Actor, e.Replica, e.Epoch = cmp.Or(e.Actor, ActorEngine), cmp.Or(e.Replica, replica), cmp.Or(e.Epoch, d.Epoch)
		if e.At.IsZero() {
			e.At = now
		}
		e.Hash = HashEvent(d.EventsHash, &e)
		d.EventsHash = e.Hash
		appended[i] = e
	}
	return appended
}

// chainVersion begins what is hashed: another encoding gets another name.
const chainVersion = "rollcall event 1"

// HashEvent returns the hash of an event that follows one with the hash previous, which is zero where the chain begins. It covers
// all that is stored of the event except ID, which the database draws. Writers and verifiers use this: what is hashed here
// must never change.
func HashEvent(previous Hash, e *Event) Hash {
	l := make(link, 0, 512) // most events fit
	l.addText(chainVersion)
	l = append(l, previous[:]...)
	l.addText(e.DeploymentID)
	l.addNumber(e.Seq)
	l.addNumber(e.At.UnixMicro()) // the database keeps no more
	l.addText(e.Type)
	l.addText(e.Actor)
	l.addText(e.Replica)
	l.addNumber(e.Epoch)
	l.addText(e.Target)
	l.addNumber(int64(e.Wave))
	l.addText(e.From)
	l.addText(e.To)
	l.addText(e.Message)
	l.addCall(e.Call)
	return sha256.Sum256(l)
}

// link is an event as it is hashed. Texts stand behind their lengths, so that no two events look alike.
type link []byte

func (l *link) addNumber(n int64) { *l = binary.BigEndian.AppendUint64(*l, uint64(n)) } //nolint:gosec // the bits count, not the sign

func (l *link) addText(s string) {
	l.addNumber(int64(len(s)))
	*l = append(*l, s...)
}

func (l *link) addPresence(is bool) {
	if is {
		*l = append(*l, 1)
	} else {
		*l = append(*l, 0)
	}
}

func (l *link) addCall(c *Call) {
	l.addPresence(c != nil)
	if c == nil {
		return
	}
	l.addText(c.WebhookID)
	l.addText(string(c.Action))
	l.addText(c.Version)
	l.addText(c.PreviousVersion)
	l.addNumber(int64(c.Attempt))
	l.addNumber(c.Fence)
	l.addNumber(c.Deadline.Unix())
	l.addNumber(int64(c.Deadline.Nanosecond()))
	l.addPresence(c.NewWeight != nil)
	if c.NewWeight != nil {
		l.addNumber(int64(*c.NewWeight))
	}
	if c.Request != nil { // absent, it adds nothing: older events had none
		l.addText(c.Request.Method)
		l.addText(c.Request.URL)
		l.addText(c.Request.BodySHA256)
	}
}

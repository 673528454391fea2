package chaos

import (
	"cmp"
	"net/http"
	"strconv"
)

// checkCommandsKept checks that what was asked for and answered with 200 comes: an abort ends aborted, a rollback rolled back, and each pause
// stands in the log. Failed is right where a router or a target did not confirm in time.
func (c *checker) checkCommandsKept() {
	for i := range c.h.Deployments {
		d := &c.h.Deployments[i]
		c.checkOutcome(d, "abort", "aborted")
		c.checkOutcome(d, "rollback", "rolled_back")
		for _, op := range c.opsOf(d.ID, "pause") {
			if op.State == "paused" && !d.hasEvent("deployment.paused") {
				c.report("A command is durable", d.Service, op.Answered, "a pause of %s was answered with 200 and stands in no log", d.ID)
			}
		}
	}
}

// checkCommandsOnce checks that however often a command is sent with its key, it is carried out once: all its answers are the first one, and
// no more pauses stand in the log than were asked for.
func (c *checker) checkCommandsOnce() {
	first, pauses := map[string]Op{}, map[string]map[string]bool{}
	for i, op := range c.h.Ops {
		if op.Method != http.MethodPost || op.Path == "/deployments" {
			continue
		}
		noteCommand(pauses, op, i)
		if op.Key == "" || op.Status/100 != 2 {
			continue
		}
		if was, known := first[op.Key]; known {
			c.checkSameResponse(was, op)
		} else {
			first[op.Key] = op
		}
	}
	for i := range c.h.Deployments {
		d := &c.h.Deployments[i]
		if paused, asked := d.countEvents("deployment.paused"), len(pauses["/deployments/"+d.ID+"/pause"]); paused > max(asked, 1) {
			c.report("A once", d.Service, d.FinishedAt, "%s was paused %d times and asked to %d times", d.ID, paused, asked)
		}
	}
}

// noteCommand counts the different commands sent to a path: by key, and without one each is one of its own.
func noteCommand(commands map[string]map[string]bool, op Op, index int) {
	if commands[op.Path] == nil {
		commands[op.Path] = map[string]bool{}
	}
	commands[op.Path][cmp.Or(op.Key, strconv.Itoa(index))] = true
}

// checkSameResponse reports a command that was repeated with its key and not answered as it was the first time.
func (c *checker) checkSameResponse(was, op Op) {
	if op.Status != was.Status || op.ID != was.ID || op.State != was.State || op.Revision != was.Revision {
		c.report("A once", op.Service, op.Answered, "%s with the key %s was answered %d %s %s at revision %d, and %d %s %s at %d",
			op.Path, op.Key, was.Status, was.ID, was.State, was.Revision, op.Status, op.ID, op.State, op.Revision)
	}
}

func (d *Deployment) countEvents(event string) (n int) {
	for _, e := range d.Events {
		if e.Type == event {
			n++
		}
	}
	return n
}

// checkOutcome checks that a command that was taken before the end leads to one.
func (c *checker) checkOutcome(d *Deployment, command, end string) {
	for _, op := range c.opsOf(d.ID, command) {
		if !isTerminal(op.State) && d.State != end && d.State != "failed" {
			c.report("A command is durable", d.Service, op.Answered, "an answer of 200 was given to the %s of %s, which ended %s", command, d.ID, d.State)
		}
	}
}

func (d *Deployment) hasEvent(event string) bool {
	for _, e := range d.Events {
		if e.Type == event {
			return true
		}
	}
	return false
}

// checkTransitions checks that from one answer to the next a deployment's state only moves on: it is not pending again, the way back leads
// nowhere forward, and one revision has one state.
func (c *checker) checkTransitions() {
	newest, turned := map[string]Op{}, map[string]bool{}
	for _, op := range c.deploymentReads() {
		last, known := newest[op.ID]
		switch {
		case known && op.Sent.Before(last.Answered):
			continue // asked at the same time
		case known && op.State == "pending" && last.State != "pending",
			op.State == "in_progress" && turned[op.ID],
			known && op.Revision == last.Revision && op.State != last.State:
			c.report("T legal transitions", op.Service, op.Answered, "%s was %s at revision %d and then %s at %d", op.ID, last.State, last.Revision, op.State, op.Revision)
		}
		turned[op.ID] = turned[op.ID] || op.State == "rolling_back"
		newest[op.ID] = op
	}
}

// checkFailureBudget checks that once a target was given up in a deployment that tolerates no failure, no call forward is written down.
func (c *checker) checkFailureBudget() {
	for _, d := range c.h.Deployments {
		spent := false
		for _, e := range d.Events {
			if spent && e.Type == "target.intent" && e.Action == "deploy" && d.Kind == "deploy" {
				c.report("S no forward call", d.Service, e.At, "%s wrote down a call of %s as event %d when its failure budget was spent", d.ID, e.Target, e.Seq)
			}
			spent = spent || e.Type == "target.failed"
		}
	}
}

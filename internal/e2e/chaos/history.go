package chaos

import "time"

// History is all that was seen of one round from outside, on one clock.
type History struct {
	Seed     uint64
	Round    int
	Replicas int
	Lease    time.Duration
	// Starved is the longest that the test itself was kept from running.
	Starved     time.Duration
	Calls       []Call
	Writes      []Write
	Ops         []Op
	Faults      []Fault
	Restarts    []Restart
	Deployments []Deployment
	// Metrics are the deployments by state as the metrics counted them at the end, Stuck the ones said to be stuck.
	Metrics map[string]int
	Stuck   int
	// Runs is what each target ran at the end, by service and target.
	Runs map[string]map[string]string
	// Weights is what each router did at the end, by service.
	Weights map[string]Write
}

// Call is a deploy call as its target saw it. Answered is when it was answered or the caller left; zero while it is open.
type Call struct {
	Service, Target, DeploymentID, Action, Version, WebhookID string
	Attempt                                                   int
	Fence                                                     int64
	Received, Answered                                        time.Time
	Status                                                    int
	Applied                                                   bool
}

// Write is a write as the router saw it.
type Write struct {
	Service, DeploymentID, WebhookID string
	Attempt                          int
	Fence                            int64
	At                               time.Time
	Status                           int
	Applied                          bool
	NewWeight                        int
	Weights                          map[string]int
}

// Restart is the restart of a router, from which on it does what it is configured to do. Forgot reports whether it had done
// what a deployment had set.
type Restart struct {
	Service string
	At      time.Time
	Forgot  bool
}

// Op is a request of a client. Status is 0 when nothing was answered.
type Op struct {
	Service, Method, Path, Key string
	Replica                    int
	Sent, Answered             time.Time
	Status                     int
	RetryAfter                 string
	// Waits says that the answer may be late on purpose.
	Waits bool
	// Again says that the request was answered for good before and is repeated with its key: nothing may come of it.
	Again bool
	// ID, State and Revision are those of the deployment that was answered, Deadline its deadline_at; Body is the answer of a request that failed.
	ID, State string
	Revision  int
	Deadline  time.Time
	Body      string
}

// Fault is something that was broken, from when to when. Replica is -1 when it was none alone. Missed says that it did not
// come to what it was meant to be: it does not count as injected, and still explains what follows.
type Fault struct {
	Kind     Kind
	Replica  int
	From, To time.Time
	Missed   bool
	// ReplicaID is the name by which events know the replica. Ended is when its process had ended and Exit how, for those
	// that do.
	ReplicaID string
	Ended     time.Time
	Exit      int
}

// Deployment is a deployment as the API returns it at the end, and what was expected of it.
type Deployment struct {
	ID, Service, Version, Kind, State, Key string
	RollbackOf                             string
	Success                                bool
	Revision                               int
	StartedAt, FinishedAt                  time.Time
	Updated, Failed, RolledBack            int
	Targets                                []Target
	Events                                 []Event
	Plan                                   Plan
}

// Target is a target's part in a deployment as the API returns it.
type Target struct {
	ID, State, Version, Previous string
}

// Event is an entry of a deployment's log.
type Event struct {
	Seq                         int
	At                          time.Time
	Type, Target, Replica, From string
	To, Actor                   string
	Wave                        int
	WebhookID, Action           string
	Attempt                     int
	Fence                       int64
}

// Violation is a promise that was seen broken.
type Violation struct {
	Promise string
	Text    string
	Service string
	At      time.Time
}

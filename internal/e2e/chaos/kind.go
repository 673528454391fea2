package chaos

// Kind is a kind of fault.
type Kind string

// Faults of a replica's process.
const (
	Kill             Kind = "kill -9 at a random time"
	KillBeforeSend   Kind = "kill -9 before a call is sent"
	KillOpen         Kind = "kill -9 while a call is open"
	KillAnswered     Kind = "kill -9 after an answer"
	KillBeforeCommit Kind = "kill -9 before a commit"
	Freeze           Kind = "SIGSTOP longer than the lease"
	Term             Kind = "SIGTERM"
	Successor        Kind = "a new binary migrates"
)

// Faults of a replica's way to the database.
const (
	Reset      Kind = "connections reset"
	Refuse     Kind = "connections refused"
	HalfOpen   Kind = "connections half open"
	Slow       Kind = "database slow"
	LostCommit Kind = "answer to a COMMIT lost"
	LostNotify Kind = "NOTIFY lost"
)

// Faults of the database itself.
const (
	DatabaseStop   Kind = "database stopped at once"
	DatabaseFreeze Kind = "database frozen"
	ReadOnly       Kind = "database read-only"
	Crowded        Kind = "database out of connections"
)

// Faults of targets, routers, and what clients do at one instant.
const (
	TargetHangs          Kind = "target hangs"
	TargetResets         Kind = "target resets"
	TargetDrips          Kind = "target drips"
	TargetFails          Kind = "target answers 500"
	TargetBusy           Kind = "target answers 429 with Retry-After"
	TargetRedirects      Kind = "target redirects"
	TargetProxied        Kind = "target works on behind a 504"
	TargetLies           Kind = "target says OK and stays"
	TargetFailsLate      Kind = "target applies and fails"
	TargetTurnsUnhealthy Kind = "target becomes unhealthy in the bake"
	RouterFailsLate      Kind = "router applies and fails"
	RouterRestarts       Kind = "router restarts and forgets"
	SamePost             Kind = "the same POST 32 times at once"
	CommandsAtOnce       Kind = "abort, promote and pause at once"
	FrozenOwner          Kind = "abort or pause with the owner frozen"
	PromotesAtOnce       Kind = "promotes of one gate at once"
	TargetUnhealthy      Kind = "target is unhealthy on the new version"
	DeadlinePasses       Kind = "a deadline passes"
	Outlived             Kind = "SIGSTOP until the next deployment began"
)

// ProcessKinds returns the faults of one replica.
func ProcessKinds() []Kind {
	return []Kind{
		Kill, KillBeforeSend, KillOpen, KillAnswered, KillBeforeCommit, Freeze, Term, Successor,
		Reset, Refuse, HalfOpen, Slow, LostCommit, LostNotify,
	}
}

// DatabaseKinds returns the faults that all replicas feel at once.
func DatabaseKinds() []Kind { return []Kind{DatabaseStop, DatabaseFreeze, ReadOnly, Crowded} }

// ScenarioKinds returns the faults that come with what a deployment is to live through.
func ScenarioKinds() []Kind {
	return []Kind{
		TargetHangs, TargetResets, TargetDrips, TargetFails, TargetBusy, TargetRedirects, TargetProxied, TargetLies, TargetFailsLate,
		TargetTurnsUnhealthy, TargetUnhealthy, RouterFailsLate, RouterRestarts, SamePost, CommandsAtOnce, PromotesAtOnce,
		FrozenOwner, DeadlinePasses, Outlived,
	}
}

// AllKinds returns all kinds of fault, in the order in which they are shown.
func AllKinds() []Kind {
	return append(append(ProcessKinds(), DatabaseKinds()...), ScenarioKinds()...)
}

// Kills reports whether the fault ends a process by SIGKILL.
func (k Kind) Kills() bool {
	switch k {
	case Kill, KillBeforeSend, KillOpen, KillAnswered, KillBeforeCommit:
		return true
	default:
		return false
	}
}

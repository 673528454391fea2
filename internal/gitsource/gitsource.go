// Package gitsource has the types of Git sources: what their files want, and what was deployed for them.
package gitsource

import (
	"encoding/json"
	"time"

	"rollcall/internal/duration"
	"rollcall/internal/secret"
	"rollcall/internal/storage"
)

// Source is a Git repository, branch and path whose files define what should run.
type Source struct {
	// ID is new whenever URL, Branch or Path change: what was deployed for another one does not count.
	ID     string
	Name   string
	URL    string
	Branch string
	// Path is the folder or file within the repository; empty is all of it.
	Path string
	// Interval is the time between two polls.
	Interval duration.Duration
	// Heal deploys again where targets run something else than Git wants.
	Heal bool
	// AllowEmpty means that no definition at all below Path is no error: the source then manages nothing.
	AllowEmpty bool
	// Username goes with the token.
	Username string
	// AllowedSigners is a file for ssh-keygen -Y verify; with it, the branch's newest commit must be signed by one of them.
	AllowedSigners string
	// KnownHosts is what ssh must find the host's key in.
	KnownHosts string
	Secrets    Secrets
	// Revision grows with every change of the source's definition. The store sets it and the times.
	Revision             int64
	CreatedAt, UpdatedAt time.Time
}

// Secrets are a source's secrets; empty for none.
type Secrets struct {
	Token, SSHKey, HookSecret secret.Secret
	// Unreadable is the reason why they cannot be opened; empty when they can.
	Unreadable string
}

// State is how what runs compares with Git.
type State string

// The states of a source. Unknown means that it was never read, or that a target does not report what it runs.
const (
	StateSynced  State = "synced"
	StateDrifted State = "drifted"
	StateUnknown State = "unknown"
	StateError   State = "error"
)

// States lists all states of a source.
func States() []State {
	return []State{StateSynced, StateDrifted, StateUnknown, StateError}
}

// Status is the result of the last step of a source.
type Status struct {
	State  State
	Reason string
	// Error is the reason why the last sync failed; empty when it did not. What was read before stays in force.
	Error string
	// DesiredRevision is the commit that the branch was last read at; ActualRevision the last one at which everything ran
	// as it wanted.
	DesiredRevision, ActualRevision string
	LastSyncAt, LastGoodSyncAt      time.Time
	NextSyncAt                      time.Time
	// Failures counts the syncs that failed since the last good one.
	Failures int
	// Rewrite is the last time that the branch's history was replaced; nil when it never was.
	Rewrite *Rewrite
	// Drifted counts the targets that run something else than Git wants; those that do not report it are not among them.
	Drifted int
	// Removed are the newest of the files that the branch no longer has, and that no other file or source replaces. What
	// they had deployed is unchanged.
	Removed []RemovedFile
	// Serial is the number of the newest attempt that was planned.
	Serial int64
}

// RemovedFile is a file that a branch no longer has. Fields may be added, never renamed or retyped: it is stored as JSON.
type RemovedFile struct {
	Path string `json:"path"`
	// Service and Environment are what it managed, Version what it wanted last.
	Service     string `json:"service"`
	Environment string `json:"environment"`
	Version     string `json:"version"`
	// Commit is the first one that was read without the file, at the time At.
	Commit string    `json:"commit"`
	At     time.Time `json:"at"`
}

// Key returns what the file managed: "service/environment".
func (r *RemovedFile) Key() string { return r.Service + "/" + r.Environment }

// Rewrite is a change of a branch to a commit that does not descend from the one before.
type Rewrite struct {
	At   time.Time `json:"at"`
	From string    `json:"from"`
	To   string    `json:"to"`
}

// File is one file of a source: what it wants, and what became of that. Fields may be added, never renamed or
// retyped: it is stored as JSON.
type File struct {
	Path string `json:"path"`
	// Problems are the reasons why the file, as it is now, changes nothing; none when it is good.
	Problems []FileProblem `json:"problems"`
	// Want is what the file wanted when it was last good; nil when it never was.
	Want *DesiredState `json:"want"`
	// Attempt is the newest attempt at Want; nil before the first.
	Attempt *Attempt `json:"attempt"`
	// Targets are what each target ran when it was last probed.
	Targets []Drift `json:"targets"`
	// SeenAt is the commit of the branch for which they were last probed; empty when they were not.
	SeenAt string `json:"seen_at"`
	// HealFailures counts healing deployments that failed in a row; the next one waits until HealAt.
	HealFailures int       `json:"heal_failures"`
	HealAt       time.Time `json:"heal_at"`
}

// IsPlanned reports whether an attempt is stored that has no deployment yet.
func (f *File) IsPlanned() bool { return f.Attempt != nil && f.Attempt.State == AttemptPlanned }

// IsBlocked reports whether an attempt could not begin yet, and is requested again.
func (f *File) IsBlocked() bool { return f.IsPlanned() && !f.Attempt.TryAt.IsZero() }

// IsRunning reports whether an attempt has not ended.
func (f *File) IsRunning() bool {
	return f.Attempt != nil && (f.Attempt.State == AttemptPlanned || f.Attempt.State == AttemptRunning)
}

// CountDrift counts the targets that run something else than the file wants, and those that do not report it.
func (f *File) CountDrift() (drifted, unknown int) {
	for _, t := range f.Targets {
		switch t.Actual {
		case t.Wanted:
		case "":
			unknown++
		default:
			drifted++
		}
	}
	return drifted, unknown
}

// State returns how what runs compares with the file.
func (f *File) State() State {
	drifted, unknown := f.CountDrift()
	switch {
	case len(f.Problems) > 0:
		return StateError
	case f.IsRunning() || drifted > 0:
		return StateDrifted
	case unknown > 0 || f.Targets == nil:
		return StateUnknown
	default:
		return StateSynced
	}
}

// Key returns what a file is about: "service/environment".
func (w *DesiredState) Key() string { return w.Service + "/" + w.Environment }

// FileProblem points at what is wrong with a file.
type FileProblem struct {
	// Commit is where the file was read.
	Commit string `json:"commit"`
	// Line counts from 1; 0 is the file as a whole.
	Line int `json:"line"`
	// Pointer is the JSON pointer of the wrong part; empty is the whole.
	Pointer string `json:"pointer"`
	Detail  string `json:"detail"`
}

// DesiredState is what a file asks for.
type DesiredState struct {
	Service     string `json:"service"`
	Environment string `json:"environment"`
	Version     string `json:"version"`
	// Body is the request, as POST /deployments takes it; Digest differs between two of them.
	Body   json.RawMessage `json:"body"`
	Digest string          `json:"digest"`
	Commit Commit          `json:"commit"`
}

// Commit is the commit that last changed a file.
type Commit struct {
	SHA     string `json:"sha"`
	Author  string `json:"author"`
	Message string `json:"message"`
	// Time is when it was committed; zero when that is unknown.
	Time time.Time `json:"time"`
}

// AttemptKind is the reason for a deployment.
type AttemptKind string

// AttemptSync follows a change in Git, AttemptRetry a person's wish, AttemptHeal a drift.
const (
	AttemptSync  AttemptKind = "sync"
	AttemptRetry AttemptKind = "retry"
	AttemptHeal  AttemptKind = "heal"
)

// AttemptState is what came of an attempt.
type AttemptState string

// The states of an attempt. A planned one has no deployment yet. Held means that a person rolled the version back: it is
// not deployed again until Git has something newer or it is released.
const (
	AttemptPlanned AttemptState = "planned"
	AttemptRunning AttemptState = "running"
	AttemptDone    AttemptState = "done"
	AttemptFailed  AttemptState = "failed"
	AttemptHeld    AttemptState = "held"
)

// Attempt is one deployment of a source. It is stored before it is requested.
type Attempt struct {
	Kind AttemptKind `json:"kind"`
	// Serial is its number within the source; together with the source's id it names the deployment uniquely.
	Serial       int64        `json:"serial"`
	Commit       string       `json:"commit"`
	State        AttemptState `json:"state"`
	DeploymentID string       `json:"deployment_id"`
	// Reason explains the state, for people.
	Reason string `json:"reason"`
	// TryAt is when a planned attempt that could not begin is requested again; zero when it was not refused.
	TryAt time.Time `json:"try_at"`
	// Superseded are the deployments of attempts before that have not ended, as far as known.
	Superseded []string `json:"older"`
}

// Drift is what Git wants of a target and what the target runs.
type Drift struct {
	Target string `json:"target"`
	Wanted string `json:"wanted"`
	// Actual is empty when it is not known.
	Actual string `json:"actual"`
}

// Report is a source with its status.
type Report struct {
	Source Source
	Status Status
	// Files are only set where one source is read.
	Files []File
}

// SyncRequest is a request for a sync.
type SyncRequest struct {
	ID int64
	// Retry tries again what failed, Release what is held back after a rollback.
	Retry, Release bool
	// Service and Environment limit Retry and Release; empty is all.
	Service, Environment string
}

// Claimed is a source that a replica owns for one step, with all that the step needs.
type Claimed struct {
	Report
	Claim storage.SourceClaim
	// Now is the database's time.
	Now      time.Time
	Requests []SyncRequest
	// ManagedElsewhere maps "service/environment" to the other source that manages it.
	ManagedElsewhere map[string]string
}

// Save is one fenced write: it lands whole or not at all, and not when the claim is lost.
type Save struct {
	Claim  storage.SourceClaim
	Status Status
	// Files replace all files of before; nil leaves them.
	Files []File
	// AckedRequests are the requests up to this one.
	AckedRequests int64
	// Release ends the claim; another replica may claim the source from RunAt on.
	Release bool
	RunAt   time.Time
}

// Push is one push notification of a Git host.
type Push struct {
	Source string
	// Digest identifies its content: the same again is a replay.
	Digest [32]byte
}

// PlannedSync is what a sync would do.
type PlannedSync struct {
	DesiredRevision string
	Deployments     []PlannedAttempt
	// Broken are the files that change nothing.
	Broken []File
	// Removed are the files that would no longer be managed.
	Removed []RemovedFile
}

// PlannedAttempt is a deployment that a sync would request.
type PlannedAttempt struct {
	Path string
	Kind AttemptKind
	Want DesiredState
}

// Gauge is what metrics report of a source.
type Gauge struct {
	Source  string
	State   State
	Drifted int
	// Age is the time since the last good sync, or since the source was made.
	Age time.Duration
}

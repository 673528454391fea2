// Package gitops decides what a Git source does next. It is pure: package mirror reads repositories, and package syncer
// probes, stores and deploys.
//
//   - MergeFiles compares the files of a commit with those of before, and plans one attempt for each that wants something new.
//   - RecordDeploy, SettleAttempt and HoldRolledBack record what became of an attempt.
//   - SelectForHealing picks what has drifted and is deployed again.
//   - UpdateStatus sums up the files of a source, and NextRunAt decides when its next step is due.
//
// What must stay true: a file that is broken changes nothing, and keeps what it wanted before. A failed attempt is not
// repeated for the same commit unless a person asks, and one that could not begin is not failed. What a person rolled back
// stays so until Git has something newer or a person releases it.
package gitops

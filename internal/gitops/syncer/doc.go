// Package syncer deploys what Git wants.
//
// A source is a repository, branch and path. Every file there is one request for a deployment, with its version, in YAML.
// One replica at a time works on a source (a claim with an epoch, as deployments have them) in steps:
//
//  1. When a sync is due the remote is queried for the branch's commit. A new one is fetched into a bare mirror, and its files
//     are read and checked.
//  2. gitops.MergeFiles finds the files that want something new, and plans one attempt for each. Planned attempts are saved
//     before anything is requested.
//  3. Each planned attempt becomes one deployment, by the call that POST /deployments makes, under a key that does not
//     expire: a step that is repeated, after whatever crash, finds the deployment that it made.
//  4. The attempts are updated from their deployments, targets are probed for what they run, and the status follows from both. A
//     source that heals plans attempts for what has drifted.
//
// A path without any file is an error, unless the source allows it. Everything is in the database; a mirror may be lost at any
// time.
package syncer

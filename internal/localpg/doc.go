// Package localpg runs the private PostgreSQL that serves Rollcall when no database is configured: a child process
// with its own data folder, reachable only through a unix socket that no other account may open.
//
// What must stay true, whichever process dies:
//
//   - One server per folder: a lock (flock) is held from before the first look at the data until after the last write.
//   - The data is never lost or upgraded silently: fsync is on, a folder of another PostgreSQL version is refused, and a
//     folder is either initialised whole or not at all.
//   - No orphan: PostgreSQL gets a signal to shut down when its parent dies (Linux), and one that still runs at the next
//     start is found by its pid file and stopped before anything is started.
//   - PostgreSQL refuses to run as root, so root drops to the account "postgres", else "nobody", for it alone.
package localpg

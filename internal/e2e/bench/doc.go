// Command bench measures what a rollout costs, against a plain loop that makes the same calls and stores nothing, in one run:
// wall time as a ratio, and per target the CPU time of server and database, WAL, rows, index entries, statements, growth of the
// database and bytes sent to a watcher. With several servers it measures them in turn, for `make bench-compare`. With -scale it
// measures a server with a large database instead.
package main

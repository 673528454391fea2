// Package e2e holds the tests that drive the real server from outside: real processes, a real Postgres, real targets.
package e2e

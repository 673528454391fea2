// Package command holds what operators do: Apply carries out a command on a deployment that has not ended, AbortBeforeStart
// ends one that has not begun, and NewRollback and NewRetry make a new deployment of one that has ended.
package command

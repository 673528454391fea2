// Package chaos holds the pure half of the black-box test that breaks things: what is broken when and what the clients do,
// both from a seed (GenerateSchedule), and whether all that was seen from outside keeps the promises (CheckHistory). The other half, which
// plays it against real processes, is package e2e.
//
// A seed fixes the faults, their order and pauses, the deployments, and what clients ask of them. Which instruction of the
// server each fault meets is up to the machine.
package chaos

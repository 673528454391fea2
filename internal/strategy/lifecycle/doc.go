// Package lifecycle holds every transition of a target, of the router and of a deployment, as pure functions. A call is
// started (StartTargetAction, StartRouterAction), and its result is applied (ApplyResult); ApplyTransition carries out what a
// decision asks for. TakeOver and CompensateDowntime are what a new owner does first. PlanResting and ApplyRestingResult do
// the same for a router between two deployments. NewResult is the result of a deployment that has ended.
package lifecycle

package web

import (
	"crypto/rand"
	"fmt"

	"rollcall/internal/authz"
	"rollcall/internal/problem"
	"rollcall/internal/rollout"
)

// action is a command that a user can give a deployment.
type action struct {
	// Name is the path of its page, Command that of the API.
	Name, Command string
	Label         string
	// Effects describes in sentences what will happen. Body is the body of the API call.
	Effects     []string
	Body        map[string]any
	Destructive bool
	// Primary marks the most likely action.
	Primary bool
}

// availableActions returns the actions that the deployment's state and the user's role allow. latest reports whether a
// rollback of the service would roll back this deployment.
func availableActions(v *pageRequest, d *rollout.Deployment, latest bool) []action {
	var list []action
	if v.isAllowed(authz.PermissionApprove, d.Service, d.Environment) && authz.AuthorizePromotion(&v.principal, d) == nil {
		list = promoteActions(d)
	}
	if !v.isAllowed(authz.PermissionDeploy, d.Service, d.Environment) {
		return list
	}
	if d.State.Terminal() {
		return append(list, finishedActions(d, latest)...)
	}
	if d.Operator.Abort {
		return nil
	}
	switch {
	case d.Operator.Pause || d.Stop == rollout.StopPaused:
		list = append(list, resumeAction(d))
	case d.Progress.Gate == 0:
		list = append(list, pauseAction(d))
	}
	if d.Direction == rollout.Forward && !d.StartedAt.IsZero() && !d.Operator.Rollback {
		list = append(list, rollbackAction(d))
	}
	return append(list, abortAction(d))
}

func promoteActions(d *rollout.Deployment) []action {
	switch {
	case d.State.Terminal() || d.Operator.Abort || d.Direction == rollout.Backward || d.Operator.Rollback:
		return nil
	case d.NeedsApproval():
		return []action{{
			Name: "promote", Command: "promote", Label: "Approve", Primary: true,
			Effects: []string{"The deployment starts: " + firstWave(d) + ".", "It was requested by " + d.RequestedBy + "; you are recorded as its approver."},
		}}
	case d.StartedAt.IsZero():
		return nil
	}
	var list []action
	if gate := d.Progress.Gate; gate > 0 {
		list = append(list, action{
			Name: "promote", Command: "promote", Label: "Promote", Primary: true, Effects: promoteEffects(d, gate), Body: map[string]any{"wave": gate},
		})
	}
	if !d.Operator.SkipGates && hasGateAhead(d) {
		list = append(list, action{
			Name: "promote-fully", Command: "promote", Label: "Promote fully", Body: map[string]any{"full": true}, Destructive: true,
			Effects: []string{
				"All further gates and bakes are skipped.",
				fmt.Sprintf("Each remaining wave starts as soon as the one before it is verified, up to all %s.", countNoun(d.Counts.Total, "target")),
				"Checks still apply: a failure stops the deployment.",
			},
		})
	}
	return list
}

// hasGateAhead reports whether a gate or a bake is still to come.
func hasGateAhead(d *rollout.Deployment) bool {
	for i := max(d.Progress.Wave-1, 0); i < len(d.Spec.Waves); i++ {
		if w := d.Spec.Waves[i]; w.Gate != rollout.GateNone || w.Bake > 0 {
			return true
		}
	}
	return false
}

func firstWave(d *rollout.Deployment) string {
	if len(d.Spec.Waves) == 0 {
		return "no target to update"
	}
	return fmt.Sprintf("wave 1 of %d updates %s to %s", len(d.Spec.Waves), countNoun(d.Spec.Waves[0].Size, "target"), d.Version)
}

func promoteEffects(d *rollout.Deployment, gate int) []string {
	var effects []string
	w := d.Spec.Waves[gate-1]
	if w.Gate == rollout.GateSwitch && d.Spec.Traffic != nil {
		effects = append(effects, fmt.Sprintf("Traffic shifts: the new version gets %d %%, the old one %d %%.", w.Weight, 100-w.Weight))
	}
	if gate < len(d.Spec.Waves) {
		next := d.Spec.Waves[gate]
		effects = append(effects, fmt.Sprintf("Wave %d of %d starts and updates %s to %s.", gate+1, len(d.Spec.Waves), countNoun(next.Size, "more target"), d.Version))
		if d.Spec.Traffic != nil {
			effects = append(effects, fmt.Sprintf("Once they are verified, the new version gets %d %% of the traffic.", next.Weight))
		}
		return effects
	}
	return append(effects, "That was the last wave: the deployment completes.")
}

func pauseAction(d *rollout.Deployment) action {
	will := []string{"No new call starts until the deployment is resumed."}
	if d.Counts.InFlight > 0 {
		will = append(will, fmt.Sprintf("%s in flight may still finish.", capitalize(countNoun(d.Counts.InFlight, "target"))))
	}
	return action{Name: "pause", Command: "pause", Label: "Pause", Effects: append(will, trafficUnchanged(d)...)}
}

func trafficUnchanged(d *rollout.Deployment) []string {
	if d.Spec.Traffic == nil {
		return []string{"All targets stay as they are."}
	}
	return []string{fmt.Sprintf("Traffic stays as it is: %d %% to the new version.", d.Progress.Weight)}
}

func resumeAction(d *rollout.Deployment) action {
	will := []string{"The deployment continues where it stopped."}
	if d.Counts.Failed > 0 {
		will = append(will, fmt.Sprintf("The %s so far no longer count.", countNoun(d.Counts.Failed, "failure")))
	}
	return action{Name: "resume", Command: "resume", Label: "Resume", Effects: will, Primary: d.Progress.Gate == 0 && d.Counts.Failed == 0}
}

func rollbackAction(d *rollout.Deployment) action {
	touched := d.Counts.Updated + d.Counts.Failed + d.Counts.InFlight + d.Counts.Unknown
	will := []string{}
	if d.Spec.Traffic != nil {
		will = append(will, "All traffic returns to the old version first.")
	}
	will = append(will,
		fmt.Sprintf("Then each touched target (%d of %d) gets its previous version.", touched, d.Counts.Total),
		"Other targets are not called.")
	return action{Name: "rollback", Command: "rollback", Label: "Roll back", Effects: will, Destructive: true, Primary: d.Counts.Failed > 0 && d.Stop == rollout.StopPaused}
}

func abortAction(d *rollout.Deployment) action {
	will := []string{"No new call starts, and the deployment ends."}
	if d.Spec.Traffic != nil {
		will = append(will, "All traffic returns to the old version.")
	}
	if d.Counts.Updated > 0 {
		will = append(will, fmt.Sprintf("%s that run %s keep it: abort does not restore versions, rollback does.",
			capitalize(countNoun(d.Counts.Updated, "target")), orUnknown(d.Version)))
	}
	return action{Name: "abort", Command: "abort", Label: "Abort", Effects: will, Destructive: true}
}

// finishedActions returns the actions on a deployment that has ended.
func finishedActions(d *rollout.Deployment, latest bool) []action {
	var list []action
	if d.State == rollout.StateSuperseded {
		return nil
	}
	if left := d.Counts.Total - d.Counts.Updated; left > 0 && d.Kind == rollout.KindDeploy && latest && !d.StartedAt.IsZero() {
		list = append(list, action{
			Name: "retry", Command: "retry", Label: "Retry", Primary: true,
			Effects: []string{fmt.Sprintf("A new deployment of %s starts, with the same strategy, for the targets that are not updated: up to %s.",
				d.Version, countNoun(left, "target"))},
		})
	}
	touched := d.Counts.Updated + d.Counts.Failed + d.Counts.Unknown
	if latest && touched > 0 && d.State != rollout.StateRolledBack {
		list = append(list, action{
			Name: "rollback", Command: "rollback", Label: "Roll back", Destructive: true,
			Effects: []string{
				fmt.Sprintf("A new deployment starts that restores the previous version of each touched target (%d of %d).", touched, d.Counts.Total),
				"The record of this deployment does not change.",
			},
		})
	}
	return list
}

// actionPage asks for the confirmation of an action.
type actionPage struct {
	D      rollout.Deployment
	Action action
	// Key is the idempotency key of the form.
	Key string
}

// findAction returns the action in the path, as it is available now.
func (s *site) findAction(v *pageRequest) (rollout.Deployment, action, error) {
	d, err := s.readDeployment(v)
	if err != nil {
		return d, action{}, err
	}
	sum, err := s.makeSummary(v, d)
	if err != nil {
		return d, action{}, err
	}
	for _, offered := range sum.Actions {
		if offered.Name == v.pathValue("verb") {
			return d, offered, nil
		}
	}
	return d, action{}, &problem.Error{
		Code: problem.CodeConflict, ID: d.ID,
		Message: fmt.Sprintf("%q is not possible: the deployment is %s", humanize(v.pathValue("verb")), humanize(d.State)),
	}
}

func (s *site) showAction(v *pageRequest) error {
	d, selected, err := s.findAction(v)
	if err != nil {
		return err
	}
	s.renderPage(v, "page_action.html", selected.Label+" "+d.Service+" in "+d.Environment+"?", "history", actionPage{D: d, Action: selected, Key: rand.Text()})
	return nil
}

func (s *site) runAction(v *pageRequest) error {
	if err := verifyCSRF(v.r); err != nil {
		return err
	}
	d, selected, err := s.findAction(v)
	if err != nil {
		return err
	}
	body := map[string]any{}
	for name, value := range selected.Body {
		body[name] = value
	}
	if gate := v.r.PostFormValue("gate"); selected.Name == "promote" && gate != "" && gate != fmt.Sprint(d.Progress.Gate) {
		return &problem.Error{Code: problem.CodeConflict, ID: d.ID, Message: "the deployment has reached another gate; reload the page"}
	}
	if reason := v.r.PostFormValue("reason"); reason != "" {
		body["reason"] = reason
	}
	var response struct{ ID string }
	if err := s.postAPI(v, "/deployments/"+d.ID+"/"+selected.Command, idempotencyHeader(v), body, &response); err != nil {
		return err
	}
	redirectToDeployment(v, response.ID)
	return nil
}

package web

import (
	"crypto/rand"
	"fmt"

	"rollcall/internal/authz"
	"rollcall/internal/problem"
	"rollcall/internal/rollout"
)

// verb is something that can be asked of a deployment: what its button says, and what it will do in words.
type verb struct {
	// Name is its path here, Call that of the API.
	Name, Call string
	Label      string
	// Will says, in sentences, what happens. Body goes with the call.
	Will  []string
	Body  map[string]any
	Grave bool
	// Main is what a person most likely came for.
	Main bool
}

// verbsFor are the verbs that make sense in the deployment's state and that the visitor may use. latest says that it is what
// a rollback of its service would be of.
func verbsFor(v *visit, d *rollout.Deployment, latest bool) []verb {
	var list []verb
	if v.may(authz.PermissionApprove, d.Service, d.Environment) && authz.AuthorizePromotion(&v.who, d) == nil {
		list = promotions(d)
	}
	if !v.may(authz.PermissionDeploy, d.Service, d.Environment) {
		return list
	}
	if d.State.Terminal() {
		return append(list, afterwards(d, latest)...)
	}
	if d.Operator.Abort {
		return nil
	}
	switch {
	case d.Operator.Pause || d.Stop == rollout.StopPaused:
		list = append(list, resumption(d))
	case d.Progress.Gate == 0:
		list = append(list, pausing(d))
	}
	if d.Direction == rollout.Forward && !d.StartedAt.IsZero() && !d.Operator.Rollback {
		list = append(list, turningRound(d))
	}
	return append(list, aborting(d))
}

func promotions(d *rollout.Deployment) []verb {
	switch {
	case d.State.Terminal() || d.Operator.Abort || d.Direction == rollout.Backward || d.Operator.Rollback:
		return nil
	case d.Unapproved():
		return []verb{{
			Name: "promote", Call: "promote", Label: "Approve", Main: true,
			Will: []string{"The deployment begins: " + firstWave(d) + ".", d.RequestedBy + " asked for it, and you will be named as who approved it."},
		}}
	case d.StartedAt.IsZero():
		return nil
	}
	var list []verb
	if gate := d.Progress.Gate; gate > 0 {
		list = append(list, verb{
			Name: "promote", Call: "promote", Label: "Promote", Main: true, Will: pastGate(d, gate), Body: map[string]any{"wave": gate},
		})
	}
	if !d.Operator.Full && holdsUp(d) {
		list = append(list, verb{
			Name: "promote-fully", Call: "promote", Label: "Promote fully", Body: map[string]any{"full": true}, Grave: true,
			Will: []string{
				"All gates and all times to watch are skipped from now on.",
				fmt.Sprintf("The remaining waves follow each other as soon as their targets are verified, up to all %s.", count(d.Counts.Total, "target")),
				"Checks still count: a failure still stops it.",
			},
		})
	}
	return list
}

// holdsUp reports whether there is a gate or a bake still to come.
func holdsUp(d *rollout.Deployment) bool {
	for i := max(d.Progress.Wave-1, 0); i < len(d.Spec.Waves); i++ {
		if w := d.Spec.Waves[i]; w.Gate != rollout.GateNone || w.Bake > 0 {
			return true
		}
	}
	return false
}

func firstWave(d *rollout.Deployment) string {
	if len(d.Spec.Waves) == 0 {
		return "there is nothing to update"
	}
	return fmt.Sprintf("wave 1 of %d brings %s to %s", len(d.Spec.Waves), count(d.Spec.Waves[0].Size, "target"), d.Version)
}

func pastGate(d *rollout.Deployment, gate int) []string {
	var will []string
	w := d.Spec.Waves[gate-1]
	if w.Gate == rollout.GateSwitch && d.Spec.Traffic != nil {
		will = append(will, fmt.Sprintf("Traffic moves: the new version gets %d %%, the old one %d %%.", w.Weight, 100-w.Weight))
	}
	if gate < len(d.Spec.Waves) {
		next := d.Spec.Waves[gate]
		will = append(will, fmt.Sprintf("Wave %d of %d begins: %s get %s.", gate+1, len(d.Spec.Waves), count(next.Size, "more target"), d.Version))
		if d.Spec.Traffic != nil {
			will = append(will, fmt.Sprintf("Once they are verified, %d %% of the traffic goes to the new version.", next.Weight))
		}
		return will
	}
	return append(will, "It was the last wave: the deployment then completes.")
}

func pausing(d *rollout.Deployment) verb {
	will := []string{"No new call starts after this, until someone resumes."}
	if d.Counts.InFlight > 0 {
		will = append(will, fmt.Sprintf("%s on the way may still finish.", capital(count(d.Counts.InFlight, "target"))))
	}
	return verb{Name: "pause", Call: "pause", Label: "Pause", Will: append(will, trafficStays(d)...)}
}

func trafficStays(d *rollout.Deployment) []string {
	if d.Spec.Traffic == nil {
		return []string{"Everything that runs stays as it is."}
	}
	return []string{fmt.Sprintf("Traffic stays where it is: %d %% to the new version.", d.Progress.Weight)}
}

func resumption(d *rollout.Deployment) verb {
	will := []string{"It goes on where it stopped."}
	if d.Counts.Failed > 0 {
		will = append(will, fmt.Sprintf("The %s so far no longer count against it.", count(d.Counts.Failed, "failure")))
	}
	return verb{Name: "resume", Call: "resume", Label: "Resume", Will: will, Main: d.Progress.Gate == 0 && d.Counts.Failed == 0}
}

func turningRound(d *rollout.Deployment) verb {
	touched := d.Counts.Updated + d.Counts.Failed + d.Counts.InFlight + d.Counts.Unknown
	will := []string{}
	if d.Spec.Traffic != nil {
		will = append(will, "All traffic goes back to the old version first.")
	}
	will = append(will,
		fmt.Sprintf("Then each target that was touched (%d of %d) gets its own previous version back.", touched, d.Counts.Total),
		"The other targets are not called.")
	return verb{Name: "rollback", Call: "rollback", Label: "Roll back", Will: will, Grave: true, Main: d.Counts.Failed > 0 && d.Stop == rollout.StopPaused}
}

func aborting(d *rollout.Deployment) verb {
	will := []string{"Nothing more is started, and the deployment ends."}
	if d.Spec.Traffic != nil {
		will = append(will, "All traffic goes back to the old version.")
	}
	if d.Counts.Updated > 0 {
		will = append(will, fmt.Sprintf("%s that run %s keep it: abort does not put versions back. Roll back does.",
			capital(count(d.Counts.Updated, "target")), known(d.Version)))
	}
	return verb{Name: "abort", Call: "abort", Label: "Abort", Will: will, Grave: true}
}

// afterwards is what can follow a deployment that has ended.
func afterwards(d *rollout.Deployment, latest bool) []verb {
	var list []verb
	if d.State == rollout.StateSuperseded {
		return nil
	}
	if left := d.Counts.Total - d.Counts.Updated; left > 0 && d.Kind == rollout.KindDeploy && latest && !d.StartedAt.IsZero() {
		list = append(list, verb{
			Name: "retry", Call: "retry", Label: "Retry", Main: true,
			Will: []string{fmt.Sprintf("A new deployment of %s begins, with the same strategy, for what is not updated: up to %s.",
				d.Version, count(left, "target"))},
		})
	}
	touched := d.Counts.Updated + d.Counts.Failed + d.Counts.Unknown
	if latest && touched > 0 && d.State != rollout.StateRolledBack {
		list = append(list, verb{
			Name: "rollback", Call: "rollback", Label: "Roll back", Grave: true,
			Will: []string{
				fmt.Sprintf("A new deployment begins that gives each touched target (%d of %d) its own previous version back.", touched, d.Counts.Total),
				"This deployment's record stays as it is.",
			},
		})
	}
	return list
}

// verbPage is the question before a verb is carried out.
type verbPage struct {
	D    rollout.Deployment
	Verb verb
	// Key makes the form safe to send twice.
	Key string
}

// findVerb is the verb that the path names, as it would be carried out now.
func (s *site) findVerb(v *visit) (rollout.Deployment, verb, error) {
	d, err := s.deployment(v)
	if err != nil {
		return d, verb{}, err
	}
	sum, err := s.summarize(v, d)
	if err != nil {
		return d, verb{}, err
	}
	for _, offered := range sum.Verbs {
		if offered.Name == v.path("verb") {
			return d, offered, nil
		}
	}
	return d, verb{}, &problem.Error{
		Code: problem.CodeConflict, ID: d.ID,
		Message: fmt.Sprintf("%q cannot be done now: the deployment is %s", plain(v.path("verb")), plain(d.State)),
	}
}

func (s *site) showVerb(v *visit) error {
	d, asked, err := s.findVerb(v)
	if err != nil {
		return err
	}
	s.show(v, "page_verb.html", asked.Label+" "+d.Service+" in "+d.Environment+"?", "history", verbPage{D: d, Verb: asked, Key: rand.Text()})
	return nil
}

func (s *site) doVerb(v *visit) error {
	if err := ours(v.r); err != nil {
		return err
	}
	d, asked, err := s.findVerb(v)
	if err != nil {
		return err
	}
	body := map[string]any{}
	for name, value := range asked.Body {
		body[name] = value
	}
	if gate := v.r.PostFormValue("gate"); asked.Name == "promote" && gate != "" && gate != fmt.Sprint(d.Progress.Gate) {
		return &problem.Error{Code: problem.CodeConflict, ID: d.ID, Message: "the deployment stands at another gate by now: look again"}
	}
	if reason := v.r.PostFormValue("reason"); reason != "" {
		body["reason"] = reason
	}
	var made struct{ ID string }
	if err := s.ask(v, "/deployments/"+d.ID+"/"+asked.Call, keyed(v), body, &made); err != nil {
		return err
	}
	seeDeployment(v, made.ID)
	return nil
}

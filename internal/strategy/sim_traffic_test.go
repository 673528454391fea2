package strategy_test

import (
	"slices"

	"rollcall/internal/rollout"
	"rollcall/internal/routing"
)

// given reports whether a target has been given up, and is no place for traffic.
func (s *sim) given(i int) bool {
	if i == s.liveBook.held {
		return true // by an operator
	}
	t := &s.live.Targets[i]
	failed := t.State == rollout.TargetFailed || t.State == rollout.TargetUnknown
	unreached := t.Attempts > 0 && !s.liveShadow[i].touched()
	return failed && (!unreached || s.live.Deployment.Spec.Strategy.Type == "blue_green")
}

// exposes reports whether a target of a canary is known to run the new version, and not verified.
func (s *sim) exposes(before *rollout.Deployment, i int) bool {
	t := &s.live.Targets[i]
	early := len(before.Spec.Strategy.Stages) > 0 && !s.widespread() && before.Direction == rollout.Forward && !s.onNewSide(i)
	return early && !s.liveShadow[i].touched() && t.Version != "" && t.Version == t.DesiredVersion
}

// widespread reports whether most targets ran the new version before any call: those keep serving.
func (s *sim) widespread() bool {
	ran := 0
	for i := range s.live.Targets {
		t, before := &s.live.Targets[i], s.live.Targets[i].Version
		if s.liveShadow[i].touched() {
			before = t.PreviousVersion
		}
		if before != "" && before == t.DesiredVersion {
			ran++
		}
	}
	if 2*ran > len(s.live.Targets) {
		s.cover("router: most run the version already")
		return true
	}
	return false
}

func (s *sim) bySlot() bool { return s.snapshot.Deployment.Spec.IdleSlot != "" }

// inPlace reports whether a whole side is updated while it serves, and only switched as one.
func (s *sim) inPlace() bool {
	spec := &s.snapshot.Deployment.Spec
	return spec.Strategy.Type == "blue_green" && spec.IdleSlot == ""
}

// leaving reports whether a target may still have to be called, and so to leave, in the present direction.
func (s *sim) leaving(before *rollout.Deployment, i int) bool {
	t, sh := &s.live.Targets[i], &s.liveShadow[i]
	if before.Direction == rollout.Backward {
		return sh.touched() && t.State != rollout.TargetRolledBack
	}
	return t.Wave == before.Progress.Wave && !t.Done()
}

// checkSetting holds what is about to be written to the router against the targets as they are.
func (s *sim) checkSetting(before *rollout.Deployment, w *routing.TrafficSplit) {
	total, onNew, serving := 0, 0, 0
	for i, b := range w.Backends {
		t := &s.live.Targets[i]
		if b.Target != t.ID || b.Weight < 0 || b.Weight > 256 {
			s.violate("%s has weight %d in the place of %s", b.Target, b.Weight, t.ID)
		}
		if i == s.liveBook.held {
			s.checkHeld(b)
			continue
		}
		total += b.Weight
		if s.onNewSide(i) {
			onNew += b.Weight
		}
		if b.Weight > 0 {
			serving++
		}
	}
	switch {
	case len(w.Backends) != len(s.live.Targets) || w.NewWeight+w.OldWeight != 100 || w.NewWeight < 0 || w.OldWeight < 0:
		s.violate("a write of %d:%d with %d backends", w.NewWeight, w.OldWeight, len(w.Backends))
	case total == 0:
		s.violate("no target gets any traffic")
	}
	s.cover("router: written, " + before.Spec.Strategy.Type)
	if w.NewWeight > 0 {
		s.cover("router: traffic on the new side, " + before.Spec.Strategy.Type)
	}
	switch {
	case s.inPlace():
		s.checkInPlace(w)
	case s.bySlot():
		s.checkSlots(before, w)
	case s.nothingElse(before, w):
		s.cover("router: the last ones in service stay")
	default:
		s.checkServing(before, w)
		s.checkShares(before, w, onNew, total)
		s.checkOut(before, w)
		s.checkNotSwapped(before, w)
	}
}

// checkNotSwapped wants a target that was taken out for its call to be called, and not to return while another is taken out in
// its place: what returns has no full share at once.
func (s *sim) checkNotSwapped(before *rollout.Deployment, w *routing.TrafficSplit) {
	last := s.liveBook.confirmed
	if last == nil || s.liveBook.held >= 0 || last.NewWeight != w.NewWeight {
		return
	}
	returns, leaves := "", ""
	for i, b := range w.Backends {
		was := last.Backends[i].Weight
		switch t := &s.live.Targets[i]; {
		case !s.leaving(before, i) || s.given(i) || t.Version == t.DesiredVersion: // the last is not called, and serves or not by its exposure
		case was == 0 && b.Weight > 0 && t.Attempts == 0:
			returns = t.ID
		case was > 0 && b.Weight == 0:
			leaves = t.ID
		}
	}
	if returns != "" && leaves != "" {
		s.violate("%s was taken out for its call, and %s is taken out instead", returns, leaves)
	}
}

// checkHeld wants a target to stay out that an operator has taken out.
func (s *sim) checkHeld(b routing.Backend) {
	s.cover("router: written around what an operator holds")
	if s.liveBook.heldBy == routing.HeldByWeight && b.Weight > 0 {
		s.violate("%s gets weight %d, and an operator has set it to 0", b.Target, b.Weight)
	}
}

// onNewSide reports whether a target is verified on what the deployment brings, or was so before a rolling deployment that
// does not call it.
func (s *sim) onNewSide(i int) bool {
	t, d := &s.live.Targets[i], &s.live.Deployment
	forward := d.Direction == rollout.Forward && !d.Operator.Abort
	before := t.Wave == 0 && d.Spec.Strategy.Type == "rolling" && t.Version == d.Version && d.Version != ""
	return t.State == rollout.TargetUpdated || before && forward
}

// nothingElse reports whether targets stay in service only because nothing else serves. What is not verified on the new version
// then serves only where the rest was given up, and what was given up where there is nothing but that.
func (s *sim) nothingElse(before *rollout.Deployment, w *routing.TrafficSplit) bool {
	if w.NewWeight > 0 {
		return false
	}
	old, kept := false, false
	for i := range s.live.Targets {
		serves := !s.given(i) && !s.exposes(before, i)
		if serves && !s.liveShadow[i].out && !s.leaving(before, i) {
			return false
		}
		old, kept = old || serves, kept || !s.given(i)
	}
	for i, b := range w.Backends {
		if b.Weight > 0 && i != s.liveBook.held && (s.given(i) && kept || s.exposes(before, i) && old) {
			s.violate("%s gets traffic for want of others, and there are others: %+v", b.Target, w.Backends)
		}
	}
	return true
}

// checkServing wants no traffic for a target that is being called or has been given up.
func (s *sim) checkServing(before *rollout.Deployment, w *routing.TrafficSplit) {
	for i, b := range w.Backends {
		if s.exposes(before, i) {
			s.cover("router: known to run the version, and not verified")
		}
		if b.Weight > 0 && s.exposes(before, i) {
			s.violate("%s runs the new version, is not verified, and gets traffic", b.Target)
		}
		if b.Weight > 0 && (s.liveShadow[i].out || s.given(i)) && i != s.liveBook.held {
			s.violate("%s gets traffic, out %t, %s", b.Target, s.liveShadow[i].out, s.live.Targets[i].State)
		}
	}
}

// checkShares wants the new side to have its share, exactly, and no more than its wave's.
func (s *sim) checkShares(before *rollout.Deployment, w *routing.TrafficSplit, onNew, total int) {
	rolling := before.Spec.Strategy.Type == "rolling"
	if rolling && before.Operator.Abort {
		rolling = false // it goes to the old side as well
	}
	oldServe, newServe := false, false
	for i := range s.live.Targets {
		if s.liveShadow[i].out || s.given(i) || s.exposes(before, i) {
			continue
		}
		newServe = newServe || s.onNewSide(i)
		oldServe = oldServe || !s.onNewSide(i) && (w.Backends[i].Weight > 0 || !s.leaving(before, i))
	}
	switch {
	case rolling:
		if onNew*100/total != w.NewWeight || w.NewWeight == 0 && onNew > 0 && onNew*100 >= total {
			s.violate("%d of %d on the new side, and it says %d %%", onNew, total, w.NewWeight)
		}
		return
	case onNew*100 != w.NewWeight*total:
		s.violate("%d of %d on the new side, not %d %%", onNew, total, w.NewWeight)
	case w.NewWeight == 100 && !oldServe && newServe:
		s.cover("router: no old target is in service")
		return
	case w.NewWeight > s.allowedShare(before):
		s.violate("%d %% for the new side, %d allowed", w.NewWeight, s.allowedShare(before))
	}
}

// allowedShare is the most that the new side may get: what its last verified wave says.
func (s *sim) allowedShare(before *rollout.Deployment) int {
	wave := before.Progress.Wave
	if before.Direction == rollout.Backward || before.Operator.Abort || before.Stop == rollout.StopHalted || wave == 0 {
		return 0
	}
	for i := range s.live.Targets {
		if t := &s.live.Targets[i]; t.Wave == wave && !t.Done() {
			wave--
			break
		}
	}
	share := 0
	if wave > 0 {
		share = before.Spec.Waves[wave-1].Weight
	}
	if next := before.Spec.Waves[before.Progress.Wave-1]; wave < before.Progress.Wave && next.Parallel < next.Size {
		share += s.earned(before, next, share) // in parts
	}
	return share
}

// earned is what the verified targets of a canary's stage that is updated in parts add to the share before it.
func (s *sim) earned(before *rollout.Deployment, w rollout.Wave, share int) int {
	verified := 0
	for i := range s.live.Targets {
		if t := &s.live.Targets[i]; t.Wave == before.Progress.Wave && t.State == rollout.TargetUpdated {
			verified++
		}
	}
	if before.Spec.Strategy.Type != "canary" || verified == 0 {
		return 0
	}
	s.cover("router: a share grows in parts")
	return (w.Weight - share) * verified / w.Size
}

// checkOut wants no more than a wave to be taken out, beside those that were given up or whose side has no share.
func (s *sim) checkOut(before *rollout.Deployment, w *routing.TrafficSplit) {
	out, most := 0, before.Spec.LargestWave()
	s.noteHanging()
	for i, b := range w.Backends {
		sidelined := s.onNewSide(i) && w.NewWeight == 0 || !s.onNewSide(i) && w.NewWeight == 100 && s.live.Targets[i].Done()
		if b.Weight == 0 && !s.given(i) && !sidelined && !s.exposes(before, i) && !s.liveShadow[i].hung {
			out++
			s.cover("router: taken out")
		}
	}
	if before.Direction == rollout.Forward {
		most = before.Spec.Waves[max(before.Progress.Wave, 1)-1].Parallel
	}
	if out > most {
		s.violate("%d targets without traffic, %d allowed", out, most)
	}
}

// checkInPlace wants all to serve, and the switch to come when each is verified or given up.
func (s *sim) checkInPlace(w *routing.TrafficSplit) {
	well := 0
	for i := range s.live.Targets {
		t := &s.live.Targets[i]
		if t.State == rollout.TargetUpdated && i != s.liveBook.held {
			well++
		}
		if w.NewWeight == 100 && !t.Done() {
			s.violate("switched, and %s is %s", t.ID, t.State)
		}
	}
	for i, b := range w.Backends {
		if i == s.liveBook.held {
			continue
		}
		if failed := s.given(i) && w.NewWeight == 100 && well > 0; failed != (b.Weight == 0) {
			s.violate("%s is %s and has weight %d of %d %%", b.Target, s.live.Targets[i].State, b.Weight, w.NewWeight)
		}
	}
	if w.NewWeight != 0 && w.NewWeight != 100 {
		s.violate("it goes half of the way: %d %%", w.NewWeight)
	}
}

// checkSlots wants exactly one slot to serve, the other one only when all of it is verified, and each of its targets that
// can; while targets of a slot that serves are called, half of it at most is out.
func (s *sim) checkSlots(before *rollout.Deployment, w *routing.TrafficSplit) {
	spec := &before.Spec
	active := spec.ActiveSlot
	if before.Progress.ActiveSlot != "" {
		active = before.Progress.ActiveSlot
	}
	size, well, out, touched := 0, 0, 0, 0
	for i, b := range w.Backends {
		t := &s.live.Targets[i]
		if t.Slot != w.ActiveSlot {
			if b.Weight > 0 {
				s.violate("%s in %s gets traffic, and %s serves", t.ID, t.Slot, w.ActiveSlot)
			}
			continue
		}
		size++
		if s.liveShadow[i].touched() {
			touched++
		}
		if !s.liveShadow[i].out && !s.given(i) {
			well++
			if b.Weight == 0 {
				out++
			}
		} else if b.Weight > 0 {
			s.cover("router: no other target in the slot serves")
			well = -size
		}
		if w.NewWeight == 100 && before.Direction == rollout.Forward && t.Wave == before.Progress.Wave && !t.Done() && b.Weight > 0 {
			s.violate("switched to %s, and %s is %s", w.ActiveSlot, t.ID, t.State)
		}
	}
	switch {
	case w.NewWeight != 0 && w.NewWeight != 100, (w.NewWeight == 0) != (w.ActiveSlot == active):
		s.violate("%d %% and %q serves; before it was %q", w.NewWeight, w.ActiveSlot, active)
	case well > 0 && out > max(size/2, 1):
		s.violate("%d of %d targets of the slot that serves are taken out", out, size)
	case w.NewWeight == 100 && (before.Operator.Abort || before.Stop == rollout.StopHalted) && !s.oldSlotOut(active):
		s.violate("the new slot serves after an abort")
	}
	if w.NewWeight == 100 {
		s.cover("router: switched")
		s.checkSwitch(before, w)
	}
	if touched > 0 && w.NewWeight == 0 && before.Kind == rollout.KindRollback {
		s.cover("router: called back in the slot that serves")
	}
}

// oldSlotOut reports whether no target in a slot could serve.
func (s *sim) oldSlotOut(slot string) bool {
	for i := range s.live.Targets {
		if s.live.Targets[i].Slot == slot && !s.liveShadow[i].out && !s.given(i) {
			return false
		}
	}
	return true
}

// checkSwitch wants a rollback to move traffic only to a slot of which every target is verified.
func (s *sim) checkSwitch(before *rollout.Deployment, w *routing.TrafficSplit) {
	for i := range s.live.Targets {
		t := &s.live.Targets[i]
		first := before.Kind == rollout.KindRollback && before.Progress.Wave == 1 && before.Direction == rollout.Forward &&
			before.Progress.Weight < 100 // else it has switched, and what was verified then became unhealthy
		if first && t.Slot == w.ActiveSlot && t.Wave > 0 && t.State != rollout.TargetUpdated {
			s.violate("a rollback switches to %s, and %s is %s", w.ActiveSlot, t.ID, t.State)
		}
	}
}

// checkLeft wants traffic to have left a target for as long as it takes to drain before it is called.
func (s *sim) checkLeft(before *rollout.Deployment, i int) {
	spec := before.Spec.Traffic
	if spec == nil || s.inPlace() {
		return
	}
	b := &s.liveBook
	id := s.live.Targets[i].ID
	if b.confirmed == nil {
		s.violate("%s is called, and it is unknown what the router does", id)
	}
	has := b.confirmed.Backends[i].Weight > 0 && i != b.held
	switch {
	case has && !slices.ContainsFunc(b.confirmed.Backends, func(o routing.Backend) bool {
		t := slices.IndexFunc(s.live.Targets, func(t rollout.Target) bool { return t.ID == o.Target })
		other := s.live.Targets[t].Slot != s.live.Targets[i].Slot && s.bySlot()
		return !other && !s.liveShadow[t].out && !s.given(t) && !s.exposes(before, t) && !s.leaving(before, t)
	}):
		s.cover("router: called in service, for want of others")
	case has:
		s.violate("%s is called while it has traffic: %+v", id, *b.confirmed)
	case s.now.Before(b.at.Add(spec.Drain.Std())) && !s.router.plain: // which reports that no session is left
		s.violate("%s is called %s after it was taken out", id, s.now.Sub(b.at))
	default:
		s.cover("router: called without traffic")
	}
	if spec.Drain > 0 {
		s.cover("router: drained")
	}
}

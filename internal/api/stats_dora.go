package api

import (
	"context"
	"time"

	"rollcall/internal/api/gen"
	"rollcall/internal/dora"
)

// GetDora says how well changes reach each service.
func (s *server) GetDora(ctx context.Context, in gen.GetDoraRequestObject) (gen.GetDoraResponseObject, error) {
	now, err := s.store.Clock(ctx)
	if err != nil {
		return nil, err
	}
	selection, err := selected(&in.Params, now)
	if err != nil {
		return nil, err
	}
	report, err := s.store.Dora(ctx, asker(ctx).Scopes, selection)
	if err != nil {
		return nil, err
	}
	within := selection.Until.Sub(selection.Since)
	encode := func(d *dora.Metrics) gen.DoraFigures { return figuresJSON(d, within) }
	return gen.GetDora200JSONResponse{
		Since: selection.Since, Until: selection.Until, Total: encode(&report.Total), Items: encodeAll(report.ByService, encode),
	}, nil
}

// selected reads which changes are meant.
func selected(p *gen.GetDoraParams, now time.Time) (dora.Query, error) {
	var f findings
	s := dora.Query{Service: or(p.Service, ""), Environment: or(p.Environment, ""), Until: or(p.Until, now).UTC()}
	switch {
	case p.Since == nil:
		s.Since = s.Until.Add(-f.window(p.Window, "/window"))
	case p.Window != nil:
		f.add("/window", "must not stand beside since: either says where the time begins")
	default:
		s.Since = p.Since.UTC()
		if !s.Since.Before(s.Until) {
			f.add("/since", "must be before until, which is now unless it is given")
		}
	}
	return s, f.err()
}

func figuresJSON(d *dora.Metrics, within time.Duration) gen.DoraFigures {
	out := gen.DoraFigures{
		Service: known(d.Service), Environment: known(d.Environment), Changes: d.Changes, DeploymentFrequency: d.PerDay(within),
		Failed: d.Failed, Unrecovered: d.Unrecovered, FailedDeploymentRecoveryTime: spreadJSON(&d.Recovery), LeadTime: spreadJSON(&d.Lead),
	}
	if d.Changes > 0 {
		rate := d.FailRate()
		out.ChangeFailRate = &rate
	}
	return out
}

func spreadJSON(s *dora.Percentiles) gen.Spread {
	out := gen.Spread{Count: s.Count}
	if s.Count > 0 {
		p50, p95 := milliseconds(s.P50), milliseconds(s.P95)
		out.P50Ms, out.P95Ms = &p50, &p95
	}
	return out
}

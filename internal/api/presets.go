package api

import (
	"context"

	"rollcall/internal/api/gen"
	"rollcall/internal/api/types"
	"rollcall/internal/preset"
	outbound "rollcall/internal/request"
)

// ListPresets lists the receivers that deploy.preset names.
func (s *server) ListPresets(context.Context, gen.ListPresetsRequestObject) (gen.ListPresetsResponseObject, error) {
	return gen.ListPresets200JSONResponse{Items: encodeAll(preset.All(), presetJSON)}, nil
}

func presetJSON(p *preset.Preset) types.Preset {
	return types.Preset{Name: p.Name, Summary: p.Summary, Params: encodeAll(p.Params, presetParamJSON)}
}

func presetParamJSON(p *preset.Param) types.PresetParam {
	return types.PresetParam{Name: p.Name, Required: p.Required, Description: p.Description}
}

// expandPreset returns deploy with its preset replaced by what that stands for; nil stays nil.
func (f *findings) expandPreset(deploy *types.DeployRequest) *types.DeployRequest {
	if deploy == nil || deploy.Preset == nil {
		if deploy != nil && deploy.Params != nil {
			f.add("/deploy/params", "are those of a preset, and there is none")
		}
		return deploy
	}
	stands, wrong := preset.Expand(*deploy.Preset, valueOr(deploy.Params, nil))
	for _, w := range wrong {
		f.add("/deploy"+w.Pointer, "%s", w.Detail)
	}
	expanded := *deploy
	expanded.Preset, expanded.Params = nil, nil
	if wrong != nil {
		return &expanded
	}
	expanded.Request = withPresetRequest(valueOr(deploy.Request, types.CallRequest{}), &stands.Request)
	if stands.RetryOn != nil {
		expanded.RetryOn = firstSet(expanded.RetryOn, &stands.RetryOn)
	}
	if expanded.Done == nil && stands.Done != nil {
		expanded.Done = doneRequest(stands.Done)
	}
	return &expanded
}

// withPresetRequest returns a request with the fields of a preset where it has none of its own; a body replaces the preset's.
func withPresetRequest(own types.CallRequest, from *outbound.Request) *types.CallRequest {
	method := types.CallRequestMethod(from.Method)
	own.Method, own.URL = firstSet(own.Method, &method), firstSet(own.URL, &from.URL)
	if own.JSON == nil && own.Form == nil && own.Text == nil {
		own.JSON, own.Text = from.JSON, from.Text
	}
	if own.Headers == nil && from.Headers != nil {
		own.Headers = &from.Headers
	}
	if own.Sign == nil && from.Sign != nil {
		own.Sign = signRequest(from.Sign)
	}
	return &own
}

func signRequest(s *outbound.Sign) *types.CallSign {
	sign := types.CallSign{Type: types.CallSignType(s.Type)}
	if s.Type == outbound.SignHMAC {
		algorithm, encoding := types.CallSignAlgorithm(s.Algorithm), types.CallSignEncoding(s.Encoding)
		sign.Header, sign.Prefix, sign.Algorithm, sign.Encoding = &s.Header, &s.Prefix, &algorithm, &encoding
	}
	return &sign
}

func doneRequest(d *outbound.Done) *types.CallDone {
	done := types.CallDone{Type: types.CallDoneType(d.Type)}
	if d.Type == outbound.DoneJSON {
		done.Pointer, done.Equals, done.Fails = &d.Pointer, &d.Equals, &d.Fails
	}
	return &done
}

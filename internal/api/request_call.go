package api

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"rollcall/internal/api/types"
	"rollcall/internal/problem"
	outbound "rollcall/internal/request"
	"rollcall/internal/rollout"
	"rollcall/internal/secret"
)

const requestPointer = "/deploy/request"

// readCall reads how targets are called instead of by Rollcall's own webhook, and what their answers mean.
func (q *request) readCall(b *types.DeployRequest, d *rollout.Deploy) {
	d.OK, d.RetryOn = valueOr(b.Ok, nil), valueOr(b.RetryOn, nil)
	q.verifyStatuses(d.OK, "/deploy/ok")
	q.verifyStatuses(d.RetryOn, "/deploy/retry_on")
	d.Done = q.readDone(b.Done)
	d.OnNoAnswer = rollout.OnNoAnswer(valueOr(b.OnNoAnswer, ""))
	if b.Request == nil {
		return
	}
	d.Request = q.readCallRequest(b.Request, d.Path)
	if d.OK == nil {
		d.OK = outbound.DefaultOK()
	}
	if d.RetryOn == nil {
		d.RetryOn = outbound.DefaultRetryOn()
	}
	if d.Done == nil {
		d.Done = &outbound.Done{Type: outbound.DoneStatus}
	}
	if d.OnNoAnswer == "" {
		d.OnNoAnswer = rollout.OnNoAnswerAsk
	}
}

func (q *request) readCallRequest(b *types.CallRequest, path string) *outbound.Request {
	r := &outbound.Request{
		Method: string(valueOr(b.Method, "POST")), URL: valueOr(b.URL, "{"+outbound.Address+"}"+path),
		Headers: valueOr(b.Headers, nil), JSON: b.JSON, Form: valueOr(b.Form, nil), Text: b.Text, Sign: readSign(b.Sign),
	}
	for _, found := range r.Validate(outbound.TargetNames) {
		pointer := requestPointer + found.Pointer
		if found.Pointer == "/url" && b.URL == nil {
			pointer = "/deploy/path"
		}
		q.add(pointer, "%s", found.Detail)
	}
	for name, value := range r.Headers {
		q.secretGiven(value, requestPointer+"/headers/"+problem.EscapePointer(name))
	}
	if s := b.Sign; s != nil {
		q.verifySign(s)
	}
	return r
}

func readSign(b *types.CallSign) *outbound.Sign {
	if b == nil {
		return nil
	}
	s := &outbound.Sign{Type: string(b.Type)}
	if s.Type == outbound.SignHMAC {
		s.Header, s.Prefix = valueOr(b.Header, ""), valueOr(b.Prefix, "")
		s.Algorithm, s.Encoding = string(valueOr(b.Algorithm, types.Sha256)), string(valueOr(b.Encoding, types.Hex))
	}
	return s
}

// verifySign reports fields of an HMAC where there is none.
func (q *request) verifySign(b *types.CallSign) {
	if b.Type == outbound.SignHMAC {
		return
	}
	for _, f := range []field{
		{"header", b.Header != nil}, {"algorithm", b.Algorithm != nil}, {"encoding", b.Encoding != nil}, {"prefix", b.Prefix != nil},
	} {
		if f.given {
			q.add(requestPointer+"/sign/"+f.name, "is only supported by type hmac")
		}
	}
}

func (q *request) readDone(b *types.CallDone) *outbound.Done {
	if b == nil {
		return nil
	}
	d := &outbound.Done{Type: string(b.Type), Equals: valueOr(b.Equals, nil), Fails: valueOr(b.Fails, nil)}
	if d.Type == outbound.DoneStatus {
		for _, f := range []field{{"pointer", b.Pointer != nil}, {"equals", b.Equals != nil}, {"fails", b.Fails != nil}} {
			if f.given {
				q.add("/deploy/done/"+f.name, "is only supported by type json")
			}
		}
		return d
	}
	if b.Pointer == nil {
		q.add("/deploy/done/pointer", "is required")
	}
	d.Pointer = q.jsonPointer(b.Pointer, "/deploy/done/pointer")
	for i, value := range d.Fails {
		if slices.Contains(d.Equals, value) {
			q.add(fmt.Sprintf("/deploy/done/fails/%d", i), "is also in equals")
		}
	}
	return d
}

// setDeployURLs sets the deploy URL of each target that has none of its own, by the common path. With a request of its own a
// deployment has none: a server that does not know requests then calls none of them.
func (q *request) setDeployURLs() {
	own := q.deployment.Spec.Deploy.Request == nil
	for i := range q.targets {
		t := &q.targets[i]
		switch {
		case own && t.DeployURL == "":
			t.DeployURL = strings.TrimRight(t.Address, "/") + q.deployment.Spec.Deploy.Path
		case !own && t.DeployURL != "":
			q.add(fmt.Sprintf("/targets/%d/deploy_url", i), "mutually exclusive with deploy.request, which has a url")
		}
	}
}

// checkCalls renders the call of each target, and reports the first that cannot be made at each pointer.
func (q *request) checkCalls() {
	reported := map[string]bool{}
	report := func(pointer, format string, args ...any) {
		if !reported[pointer] {
			reported[pointer] = true
			q.add(pointer, format, args...)
		}
	}
	for i := range q.targets {
		t := &q.targets[i]
		if q.deployment.Spec.Deploy.Request == nil && !strings.ContainsAny(t.DeployURL, "{}") {
			continue // Rollcall's own webhook can always be rendered
		}
		rendered, err := q.deployment.RenderCall(t, firstCall(&q.deployment, t))
		var missing *outbound.MissingError
		switch {
		case errors.As(err, &missing) && q.masked && isLabel(missing.Name):
			// deployments give the labels that their definition lacks
		case err != nil:
			report(q.callPointer(i, err), "cannot be filled in for target %s: %v", t.ID, causeOf(err))
		case q.deployment.Spec.Deploy.Request != nil:
			if _, detail := parseURL(rendered.URL); detail != "" {
				report(requestPointer+"/url", "%s", detail)
			} else if err := q.checkAddress(rendered.URL); err != nil {
				report(requestPointer+"/url", "%v", err)
			}
		}
	}
}

func isLabel(name string) bool {
	_, is := outbound.LabelKey(name)
	return is
}

// callPointer returns where the fault of a call is: in the request, or in what the URL of Rollcall's own webhook is made of.
func (q *request) callPointer(i int, err error) string {
	if e, ok := errors.AsType[*outbound.Error](err); ok {
		return requestPointer + e.Pointer
	}
	if valueOr(q.body.Targets, nil)[i].DeployURL != nil {
		return fmt.Sprintf("/targets/%d/deploy_url", i)
	}
	return "/deploy/path"
}

func causeOf(err error) error {
	if inner := errors.Unwrap(err); inner != nil {
		return inner
	}
	return err
}

// firstCall returns the first call of a target as far as it is known when the deployment is made.
func firstCall(d *rollout.Deployment, t *rollout.Target) *rollout.Call {
	return &rollout.Call{
		WebhookID: rollout.WebhookID(d.ID, t.ID, rollout.CallDeploy), Action: rollout.CallDeploy, Version: d.Version,
		PreviousVersion: t.Version, Attempt: 1, Fence: t.Fence + 1,
	}
}

// checkTemplate reports a brace in the URL of Rollcall's own webhook that is no placeholder.
func (q *request) checkTemplate(url, pointer string) {
	if !strings.ContainsAny(url, "{}") {
		return
	}
	if err := outbound.CheckURL(url, outbound.TargetNames); err != nil {
		q.add(pointer, "%v", err)
	}
}

// minHMACKey is the minimum length of a key that signs as it is.
const minHMACKey = 16

// checkSigning requires the key that the calls are signed with, once it is known which that is.
func checkSigning(deploy *rollout.Deploy, key secret.Secret) error {
	f := findings{}
	hmac := deploy.Request != nil && deploy.Request.SignType() == outbound.SignHMAC
	switch {
	case hmac && key == "":
		f.add("/deploy/secret", "is required: it signs the calls as deploy.request.sign says")
	case hmac && len(key.Reveal()) < minHMACKey && !key.Redacted():
		f.add("/deploy/secret", "must have at least %d bytes", minHMACKey)
	case !hmac && key != "" && !key.Redacted():
		if _, err := secret.SigningKeys(key); err != nil {
			f.add("/deploy/secret", "must be \"whsec_\" and base64, unless deploy.request.sign is of type hmac")
		}
	}
	return f.err()
}

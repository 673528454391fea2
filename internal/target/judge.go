package target

import (
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"rollcall/internal/egress"
	"rollcall/internal/request"
	"rollcall/internal/rollout"
)

// maxRetryAfter is the longest wait that a response can request.
const maxRetryAfter = time.Minute

// minRedacted is the length from which a header's value is hidden in a response: some receivers repeat what they are sent.
const minRedacted = 4

// judge returns what a response means by the lists of the deployment, and by the value that it waits for.
func judge(deploy *rollout.Deploy, sent *request.Rendered, response *egress.Response) rollout.CallResult {
	kind := classify(deploy, response.Status)
	message := describe(sent, response)
	if done := deploy.Done; done != nil && done.Type == request.DoneJSON && isSuccess(kind) {
		var why string
		if kind, why = judgeBody(done, response.Body); why != "" {
			message += "; " + egress.Sanitize(why)
		}
	}
	result := rollout.CallResult{Kind: kind, Status: response.Status, Message: message}
	if !isSuccess(kind) {
		result.RetryAfter = egress.RetryAfter(response.Header.Get("Retry-After"), time.Now(), maxRetryAfter)
	}
	return result
}

func isSuccess(kind rollout.ResultKind) bool {
	return kind == rollout.ResultDone || kind == rollout.ResultAccepted
}

// classify returns what a status means. That a target has seen a newer fence is known only from Rollcall's own webhook.
func classify(deploy *rollout.Deploy, status int) rollout.ResultKind {
	ok, retryOn := deploy.OK, deploy.RetryOn
	if ok == nil {
		ok = request.DefaultOK()
	}
	if retryOn == nil {
		retryOn = request.DefaultRetryOn()
	}
	switch {
	case request.StatusIn(ok, status):
		if status == http.StatusAccepted {
			return rollout.ResultAccepted
		}
		return rollout.ResultDone
	case deploy.Request == nil && status == http.StatusConflict:
		return rollout.ResultFenced
	case !request.StatusIn(retryOn, status):
		return rollout.ResultRefused
	case isAnswer(deploy, status):
		return rollout.ResultRetry
	default:
		return rollout.ResultUnknown
	}
}

// isAnswer reports whether the target itself has turned the call down. A status from 500 on may be that of a proxy, while the
// target works; a call that is never repeated in doubt is repeated all the same unless a gateway says that it got no answer.
func isAnswer(deploy *rollout.Deploy, status int) bool {
	if deploy.OnNoAnswer == rollout.OnNoAnswerStop {
		return status != http.StatusBadGateway && status != http.StatusGatewayTimeout
	}
	return status < http.StatusInternalServerError
}

func judgeBody(done *request.Done, body []byte) (kind rollout.ResultKind, why string) {
	progress, why := done.Judge(body)
	switch progress {
	case request.Succeeded:
		return rollout.ResultDone, why
	case request.Failed:
		return rollout.ResultRefused, why
	default:
		return rollout.ResultUnknown, why
	}
}

// describe returns the response in one line, without the values of the call's headers.
func describe(sent *request.Rendered, response *egress.Response) string {
	if u, err := url.Parse(sent.URL); err == nil {
		if to := egress.RedirectAdvice(u, &http.Response{StatusCode: response.Status, Header: response.Header}); to != "" {
			return to
		}
	}
	text := string(response.Body)
	for _, value := range sent.Headers {
		if len(value.Reveal()) >= minRedacted {
			text = strings.ReplaceAll(text, value.Reveal(), fmt.Sprint(value))
		}
	}
	message := "HTTP " + strconv.Itoa(response.Status)
	if shown := egress.Sanitize(text); shown != "" {
		message += ": " + shown
	}
	return message
}

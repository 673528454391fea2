package notify

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"rollcall/internal/egress"
	"rollcall/internal/notification"
	"rollcall/internal/rollout"
)

const (
	// minBackoff doubles with each attempt, up to longestWait.
	minBackoff = 2 * time.Second
	maxBackoff = 30 * time.Minute
	// maxAge is how long a delivery is retried.
	maxAge = 24 * time.Hour
	// maxRetryAfter is the longest wait that a receiver can request.
	maxRetryAfter = time.Hour
)

// decideOutcome returns the outcome of an attempt. jitter, from 0 to 1, is random, so that deliveries that failed together are not
// retried together.
func decideOutcome(c *notification.ClaimedDelivery, r egress.Response, now time.Time, jitter float64) notification.Outcome {
	o := notification.Outcome{Result: resultOf(r), Detail: responseDetail(r, &c.Subscription.Secrets), Status: notification.DeliveryPending}
	switch {
	case o.Result == rollout.ResultDone:
		o.Status = notification.DeliveryDelivered
	case finalAdvice(c.Subscription.Kind, r.Status) != "":
		o.Status, o.Detail = notification.DeliveryGivenUp, o.Detail+"; "+finalAdvice(c.Subscription.Kind, r.Status)
	case r.Status == http.StatusGone, c.Message.IsTest(), c.Age >= maxAge:
		o.Status = notification.DeliveryGivenUp
	default:
		requested := egress.RetryAfter(r.Header.Get("Retry-After"), now, maxRetryAfter)
		o.RetryIn = max(requested, backoffAfter(c.Attempt, jitter))
		o.Unreachable = requested == 0 && isUnreachable(r.Status)
	}
	return o
}

// finalAdvice returns what to do about a response that a retry would not change; empty if a retry may help.
func finalAdvice(kind notification.Kind, status int) string {
	switch {
	case kind == notification.KindGitHub && status == http.StatusUnprocessableEntity:
		return "not retried: the label commit, or else the version, must be a commit, branch or tag of the repository"
	case kind != notification.KindSlack:
		return ""
	case status == http.StatusBadRequest:
		return "not retried: the receiver does not accept Slack messages at this url"
	case status == http.StatusForbidden:
		return "not retried: the webhook may no longer post there; create a new one and PUT its url"
	case status == http.StatusNotFound:
		return "not retried: the webhook or its channel was deleted; create a new one and PUT its url"
	default:
		return ""
	}
}

// resultOf classifies a response. Any 2xx is done: there is nothing to poll after a 202.
func resultOf(r egress.Response) rollout.ResultKind {
	switch {
	case r.Status == 0:
		return r.Failure.Kind
	case r.Status/100 == 2:
		return rollout.ResultDone
	case r.Status == http.StatusRequestTimeout, r.Status == http.StatusTooEarly, r.Status == http.StatusTooManyRequests, r.Status/100 == 5:
		return rollout.ResultRetry
	case r.Status >= 300 && r.Status < 500:
		return rollout.ResultRefused
	default: // not a final HTTP status
		return rollout.ResultUnknown
	}
}

// isUnreachable reports whether the receiver itself did not respond: there was no response, or a proxy's.
func isUnreachable(status int) bool {
	switch status {
	case 0, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	default:
		return false
	}
}

// backoffAfter returns the wait before the next attempt; half of it is random.
func backoffAfter(attempt int, jitter float64) time.Duration {
	longest := maxBackoff
	if attempt < 20 { // beyond that the shift would overflow
		longest = min(longest, minBackoff<<(attempt-1))
	}
	return longest/2 + time.Duration(jitter*float64(longest/2))
}

// responseDetail returns the stored description of a response: its status, and the body or the error unless that repeats a secret.
func responseDetail(r egress.Response, secrets *notification.Secrets) string {
	head, rest := "HTTP "+strconv.Itoa(r.Status), string(r.Body)
	if r.Status == 0 {
		head = "no answer"
		if r.Failure.Kind == rollout.ResultNotSent {
			head = "not sent"
		}
		rest = strings.TrimPrefix(r.Failure.Message, head+": ")
	}
	shown := egress.Sanitize(redactSecrets(rest, secrets)) // cut only then: what is cut could not be known for a secret
	if shown == "" {
		return head
	}
	return head + ": " + shown
}

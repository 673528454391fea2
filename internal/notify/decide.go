package notify

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"rollcall/internal/notification"
	"rollcall/internal/outbound"
	"rollcall/internal/rollout"
)

const (
	// firstWait doubles with each attempt, up to longestWait.
	firstWait   = 2 * time.Second
	longestWait = 30 * time.Minute
	// patience is how long a delivery is tried.
	patience = 24 * time.Hour
	// longestAsked is the longest wait that a receiver can ask for.
	longestAsked = time.Hour
)

// decide says what follows from an answer. share, from 0 to 1, is drawn by chance, so that what failed at once is not tried
// again at once.
func decide(c *notification.ClaimedDelivery, r outbound.Response, now time.Time, share float64) notification.Outcome {
	o := notification.Outcome{Result: resultOf(r), Detail: detail(r, &c.Subscription.Secrets), Status: notification.DeliveryPending}
	switch {
	case o.Result == rollout.ResultDone:
		o.Status = notification.DeliveryDelivered
	case final(c.Subscription.Kind, r.Status) != "":
		o.Status, o.Detail = notification.DeliveryGivenUp, o.Detail+"; "+final(c.Subscription.Kind, r.Status)
	case r.Status == http.StatusGone, c.Message.Test(), c.Age >= patience:
		o.Status = notification.DeliveryGivenUp
	default:
		asked := outbound.RetryAfter(r.Header.Get("Retry-After"), now, longestAsked)
		o.RetryIn = max(asked, wait(c.Attempt, share))
		o.Unreachable = asked == 0 && nobody(r.Status)
	}
	return o
}

// final says what to do about an answer that no other attempt would change; empty when one may.
func final(kind notification.Kind, status int) string {
	switch {
	case kind == notification.KindGitHub && status == http.StatusUnprocessableEntity:
		return "it is not sent again: the label commit, or else the version, must be a commit, branch or tag of the repository"
	case kind != notification.KindSlack:
		return ""
	case status == http.StatusBadRequest:
		return "it is not sent again: the receiver does not take messages in Slack's format at this url"
	case status == http.StatusForbidden:
		return "it is not sent again: the webhook may not post there any more; make a new one and PUT its url"
	case status == http.StatusNotFound:
		return "it is not sent again: the webhook or its channel is gone; make a new one and PUT its url"
	default:
		return ""
	}
}

// resultOf sorts an answer. Any 2xx is taken for done: nothing would be asked again after a 202.
func resultOf(r outbound.Response) rollout.ResultKind {
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

// nobody reports whether the receiver was not there, rather than unwilling: no answer, or that of what stands before it.
func nobody(status int) bool {
	switch status {
	case 0, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	default:
		return false
	}
}

// wait is half of it certain and half by chance.
func wait(attempt int, share float64) time.Duration {
	most := longestWait
	if attempt < 20 { // beyond that the shift would overflow, and it is the longest anyway
		most = min(most, firstWait<<(attempt-1))
	}
	return most/2 + time.Duration(share*float64(most/2))
}

// detail is what is written down of an answer: a head of our own words, and what others said or what stood in the way, as
// far as that repeats nothing that nobody may read back.
func detail(r outbound.Response, secrets *notification.Secrets) string {
	head, rest := "HTTP "+strconv.Itoa(r.Status), string(r.Body)
	if r.Status == 0 {
		head = "no answer"
		if r.Failure.Kind == rollout.ResultNotSent {
			head = "not sent"
		}
		rest = strings.TrimPrefix(r.Failure.Message, head+": ")
	}
	shown := outbound.OneLine(hide(rest, secrets)) // cut only then: what is cut could not be known for a secret
	if shown == "" {
		return head
	}
	return head + ": " + shown
}

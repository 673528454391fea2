package notify

import (
	"context"
	"fmt"
	"strings"
	"time"

	"rollcall/internal/notification"
	"rollcall/internal/outbound"
	"rollcall/internal/rollout"
)

// slack sends a message to an incoming webhook of Slack, or of what takes the same: Mattermost, Rocket.Chat, Discord (/slack).
type slack struct{ at place }

// slackMessage is the wire form: text for notifications and old clients, an attachment for the colour.
type slackMessage struct {
	Text        string            `json:"text"`
	Attachments []slackAttachment `json:"attachments"`
}

type slackAttachment struct {
	Color    string       `json:"color"`
	Fallback string       `json:"fallback"`
	Text     string       `json:"text"`
	Fields   []slackField `json:"fields"`
	// Stamp is in seconds.
	Stamp int64 `json:"ts"`
}

type slackField struct {
	Title string `json:"title"`
	Value string `json:"value"`
	Short bool   `json:"short"`
}

func (k slack) tell(ctx context.Context, send sender, c *notification.ClaimedDelivery) outbound.Response {
	return send(ctx, post(c, "application/json", k.message(&c.Message)))
}

func (k slack) message(m *notification.Message) slackMessage {
	if m.Test() {
		return slackMessage{Text: "Rollcall can reach this channel.", Attachments: []slackAttachment{}}
	}
	headline := slackEscape(fmt.Sprintf("%s in %s: %s", m.Service, m.Environment, saying(m)))
	text := headline
	if url := k.at.of(m); url != "" {
		text = "<" + slackEscape(url) + "|" + headline + ">"
	}
	fields := []slackField{{Title: "Requested by", Value: slackEscape(m.RequestedBy), Short: true}}
	if w := m.Waiting; w != nil {
		fields = append(fields, slackField{Title: "Waits for", Value: waitsFor(w), Short: true},
			slackField{Title: "Until", Value: until(w), Short: true})
	}
	if r := m.Result; r != nil {
		fields = append(fields,
			slackField{Title: "Targets", Value: targets(m), Short: true},
			slackField{Title: "Took", Value: took(r), Short: true})
	}
	return slackMessage{Text: text, Attachments: []slackAttachment{{
		Color: colour(m), Fallback: headline, Text: slackEscape(m.Reason), Fields: fields, Stamp: m.At.Unix(),
	}}}
}

// saying is what happened, in a few words.
func saying(m *notification.Message) string {
	what := m.Version
	switch {
	case m.Kind == rollout.KindRollback && what == "":
		what = "the rollback"
	case m.Kind == rollout.KindRollback:
		what = "the rollback to " + what
	}
	if m.Waiting != nil {
		return what + " waits for " + waitsFor(m.Waiting)
	}
	return what + " " + map[rollout.State]string{
		rollout.StateInProgress: "has started", rollout.StateCompleted: "is deployed", rollout.StateFailed: "has failed",
		rollout.StateRolledBack: rolledBack(m), rollout.StateAborted: "was aborted", rollout.StateSuperseded: "was superseded",
	}[m.State]
}

// waitsFor is what a person has to do.
func waitsFor(w *notification.Waiting) string {
	switch w.For {
	case notification.WaitingApproval:
		return "approval"
	case notification.WaitingFailure:
		return "a decision after a failure"
	default:
		return fmt.Sprintf("promote at the gate of wave %d", w.Wave)
	}
}

func until(w *notification.Waiting) string {
	if w.Until == nil {
		return "someone decides"
	}
	return w.Until.UTC().Format(time.RFC3339)
}

func rolledBack(m *notification.Message) string {
	if m.Kind == rollout.KindRollback {
		return "is done"
	}
	if before := m.PreviousVersion(); before != "" {
		return "was rolled back to " + before
	}
	return "was rolled back"
}

func targets(m *notification.Message) string {
	r := m.Result
	text := fmt.Sprintf("%d of %d updated", r.TargetsUpdated, m.TargetsTotal)
	if r.TargetsFailed > 0 {
		text += fmt.Sprintf(", %d failed", r.TargetsFailed)
	}
	if r.TargetsRolledBack > 0 {
		text += fmt.Sprintf(", %d rolled back", r.TargetsRolledBack)
	}
	return text
}

func took(r *rollout.Result) string {
	return (time.Duration(r.DurationMS) * time.Millisecond).Round(time.Second).String()
}

// colour is one of Slack's own three, or none in particular.
func colour(m *notification.Message) string {
	if m.Waiting != nil {
		return "warning"
	}
	switch m.State {
	case rollout.StateCompleted:
		return "good"
	case rollout.StateFailed:
		return "danger"
	case rollout.StateRolledBack, rollout.StateAborted:
		return "warning"
	default:
		return "#439fe0"
	}
}

// slackEscape keeps what people wrote from being markup, or from calling everybody: in Slack "<!channel>" does, elsewhere
// "@channel" (api.slack.com, "Escaping text").
func slackEscape(text string) string {
	return strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", "@", "@\u200b").Replace(text)
}

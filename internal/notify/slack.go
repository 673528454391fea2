package notify

import (
	"context"
	"fmt"
	"strings"
	"time"

	"rollcall/internal/egress"
	"rollcall/internal/notification"
	"rollcall/internal/rollout"
)

// slack sends a message to an incoming webhook of Slack, or a compatible one: Mattermost, Rocket.Chat, Discord (/slack).
type slack struct{ at publicURL }

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

func (k slack) deliverMessage(ctx context.Context, send sender, c *notification.ClaimedDelivery) egress.Response {
	return send(ctx, newPost(c, "application/json", k.newMessage(&c.Message)))
}

func (k slack) newMessage(m *notification.Message) slackMessage {
	if m.IsTest() {
		return slackMessage{Text: "Rollcall can reach this channel.", Attachments: []slackAttachment{}}
	}
	headline := slackEscape(fmt.Sprintf("%s in %s: %s", m.Service, m.Environment, summaryLine(m)))
	text := headline
	if url := k.at.deploymentPage(m); url != "" {
		text = "<" + slackEscape(url) + "|" + headline + ">"
	}
	fields := []slackField{{Title: "Requested by", Value: slackEscape(m.RequestedBy), Short: true}}
	if w := m.Waiting; w != nil {
		fields = append(fields, slackField{Title: "Waiting for", Value: waitsFor(w), Short: true},
			slackField{Title: "Until", Value: untilText(w), Short: true})
	}
	if r := m.Result; r != nil {
		fields = append(fields,
			slackField{Title: "Targets", Value: targetsText(m), Short: true},
			slackField{Title: "Duration", Value: durationText(r), Short: true})
	}
	return slackMessage{Text: text, Attachments: []slackAttachment{{
		Color: stateColour(m), Fallback: headline, Text: slackEscape(m.Reason), Fields: fields, Stamp: m.At.Unix(),
	}}}
}

// summaryLine summarizes the message.
func summaryLine(m *notification.Message) string {
	what := m.Version
	switch {
	case m.Kind == rollout.KindRollback && what == "":
		what = "rollback"
	case m.Kind == rollout.KindRollback:
		what = "rollback to " + what
	}
	if m.Waiting != nil {
		return what + " waits for " + waitsFor(m.Waiting)
	}
	return what + " " + map[rollout.State]string{
		rollout.StateInProgress: "has started", rollout.StateCompleted: "is deployed", rollout.StateFailed: "has failed",
		rollout.StateRolledBack: rolledBack(m), rollout.StateAborted: "was aborted", rollout.StateSuperseded: "was superseded",
	}[m.State]
}

// waitsFor returns the action that the deployment waits for.
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

func untilText(w *notification.Waiting) string {
	if w.Until == nil {
		return "no time limit"
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

func targetsText(m *notification.Message) string {
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

func durationText(r *rollout.Result) string {
	return (time.Duration(r.DurationMS) * time.Millisecond).Round(time.Second).String()
}

// stateColour returns one of Slack's three colours, or a neutral one.
func stateColour(m *notification.Message) string {
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

// slackEscape escapes markup and mentions: in Slack "<!channel>" mentions all, elsewhere
// "@channel" (api.slack.com, "Escaping text").
func slackEscape(text string) string {
	return strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", "@", "@\u200b").Replace(text)
}

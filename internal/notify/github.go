package notify

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"rollcall/internal/egress"
	"rollcall/internal/notification"
	"rollcall/internal/rollout"
)

// github maintains a deployment of a repository at GitHub, with its statuses (docs.github.com/rest/deployments, version
// 2022-11-28). The notification's url is the repository's in the API: https://api.github.com/repos/OWNER/NAME, or
// https://HOST/api/v3/repos/OWNER/NAME with an Enterprise Server.
type github struct{ at publicURL }

const githubVersion = "2022-11-28"

// maxDescription is the maximum length of a description.
const maxDescription = 140

// githubDeployment is the request for a deployment; its payload identifies it in lists.
type githubDeployment struct {
	Ref         string `json:"ref"`
	Task        string `json:"task"`
	Environment string `json:"environment"`
	Description string `json:"description"`
	// AutoMerge would merge the default branch into the ref first.
	AutoMerge bool `json:"auto_merge"`
	// RequiredContexts are the checks that must have passed: none, for it is under way already.
	RequiredContexts []string      `json:"required_contexts"`
	Payload          githubPayload `json:"payload"`
}

type githubPayload struct {
	DeploymentID string `json:"rollcall_deployment_id"`
	Service      string `json:"service"`
	Version      string `json:"version"`
}

type githubStatus struct {
	State       string `json:"state"`
	Environment string `json:"environment"`
	Description string `json:"description"`
	LogURL      string `json:"log_url,omitempty"`
	// AutoInactive makes GitHub end older deployments of the environment, whichever service they were of; where GitHub takes it
	// for a production environment, which is one of the name "production", it does not.
	AutoInactive bool `json:"auto_inactive"`
}

func (k github) deliverMessage(ctx context.Context, send sender, c *notification.ClaimedDelivery) egress.Response {
	if c.Message.IsTest() {
		return send(ctx, newGitHubRequest(c, http.MethodGet, "", nil)) // whether there is such a repository, and the token good for it
	}
	id, answer := k.findDeployment(ctx, send, c)
	if id == 0 && answer.Status == http.StatusOK {
		id, answer = k.createDeployment(ctx, send, c)
	}
	if id == 0 {
		return answer
	}
	return send(ctx, newGitHubRequest(c, http.MethodPost, fmt.Sprintf("/deployments/%d/statuses", id), k.newStatus(c)))
}

const (
	// githubPage keeps a page of deployments within the limit of a response: each takes some 4 KiB.
	githubPage = 10
	// maxPages bounds the search, so that time is left to create the deployment: a ref may have been deployed for years.
	maxPages = 20
)

type githubFound struct {
	ID      int64           `json:"id"`
	Payload json.RawMessage `json:"payload"`
}

// findDeployment returns the id of the deployment that an earlier attempt, or an earlier message, created; 0 if there is none. The
// list has the deployments of all services of the commit.
func (k github) findDeployment(ctx context.Context, send sender, c *notification.ClaimedDelivery) (int64, egress.Response) {
	for number := 1; ; number++ {
		found, answer := k.listPage(ctx, send, c, number)
		for _, d := range found {
			if isOurDeployment(d.Payload, c.Message.DeploymentID) {
				return d.ID, answer
			}
		}
		if len(found) < githubPage || number == maxPages {
			return 0, answer
		}
	}
}

// listPage returns one page of the list, newest first.
func (k github) listPage(ctx context.Context, send sender, c *notification.ClaimedDelivery, number int) ([]githubFound, egress.Response) {
	m := &c.Message
	query := url.Values{
		"ref": {gitRef(m)}, "environment": {m.Environment}, "task": {taskName(m)},
		"per_page": {strconv.Itoa(githubPage)}, "page": {strconv.Itoa(number)},
	}
	answer := send(ctx, newGitHubRequest(c, http.MethodGet, "/deployments?"+query.Encode(), nil))
	if answer.Status != http.StatusOK {
		return nil, answer
	}
	var found []githubFound
	if json.Unmarshal(answer.Body, &found) != nil {
		return nil, egress.Response{Failure: rollout.CallResult{Kind: rollout.ResultUnknown, Message: "the response is not a list of deployments"}}
	}
	return found, answer
}

// isOurDeployment reports whether a payload names the deployment. GitHub returns it as an object, or as the text of one.
func isOurDeployment(payload json.RawMessage, id string) bool {
	var text string
	if json.Unmarshal(payload, &text) == nil {
		payload = json.RawMessage(text)
	}
	var p githubPayload
	return json.Unmarshal(payload, &p) == nil && p.DeploymentID == id
}

func (k github) createDeployment(ctx context.Context, send sender, c *notification.ClaimedDelivery) (int64, egress.Response) {
	m := &c.Message
	answer := send(ctx, newGitHubRequest(c, http.MethodPost, "/deployments", githubDeployment{
		Ref: gitRef(m), Task: taskName(m), Environment: m.Environment, Description: truncateDescription(m.Service + " " + m.Version),
		RequiredContexts: []string{}, Payload: githubPayload{DeploymentID: m.DeploymentID, Service: m.Service, Version: m.Version},
	}))
	var made struct{ ID int64 }
	if answer.Status != http.StatusCreated {
		if answer.Status/100 == 2 { // 202: GitHub merged the branch, and created nothing
			answer.Status, answer.Failure = 0, rollout.CallResult{Kind: rollout.ResultUnknown, Message: "GitHub created no deployment"}
		}
		return 0, answer
	}
	if json.Unmarshal(answer.Body, &made) != nil || made.ID == 0 {
		return 0, egress.Response{Failure: rollout.CallResult{Kind: rollout.ResultUnknown, Message: "GitHub returned a deployment without an id"}}
	}
	return made.ID, answer
}

func (k github) newStatus(c *notification.ClaimedDelivery) githubStatus {
	m := &c.Message
	return githubStatus{
		State: githubState(m), Environment: m.Environment, Description: truncateDescription(m.Reason), LogURL: k.at.deploymentPage(m),
		AutoInactive: len(c.Subscription.Services) == 1,
	}
}

// githubState maps the state to GitHub's. A deployment that was rolled back has failed; a rollback that restored all
// targets has not.
func githubState(m *notification.Message) string {
	switch {
	case m.Waiting != nil && m.StartedAt.IsZero():
		return "queued"
	case m.Waiting != nil:
		return "pending"
	case m.State == rollout.StateInProgress:
		return "in_progress"
	case m.State == rollout.StateCompleted, m.State == rollout.StateRolledBack && m.Kind == rollout.KindRollback:
		return "success"
	case m.State == rollout.StateSuperseded:
		return "inactive"
	case m.State == rollout.StateAborted:
		return "error"
	default:
		return "failure"
	}
}

// gitRef returns the Git ref of the deployment: the commit in its label, else the version as a tag.
func gitRef(m *notification.Message) string {
	return cmp.Or(m.Labels["commit"], m.Version, m.PreviousVersion(), "HEAD")
}

func taskName(m *notification.Message) string { return string(m.Kind) }

func truncateDescription(text string) string {
	if runes := []rune(strings.TrimSpace(text)); len(runes) > maxDescription {
		return string(runes[:maxDescription-1]) + "…"
	}
	return strings.TrimSpace(text)
}

// newGitHubRequest returns a call of the repository's API, below its path.
func newGitHubRequest(c *notification.ClaimedDelivery, method, path string, body any) egress.Request {
	r := newPost(c, "application/json", body)
	r.Method, r.URL = method, strings.TrimRight(r.URL, "/")+path
	if body == nil {
		r.Body = nil
	}
	r.Header.Set("Accept", "application/vnd.github+json")
	r.Header.Set("X-Github-Api-Version", githubVersion)
	if token := c.Subscription.Secrets.Token; token != "" {
		r.Header.Set("Authorization", "Bearer "+token.Reveal())
	}
	return r
}

package syncer

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"rollcall/internal/problem"
)

// hostRequest is what a host sends for one push, or for another event.
type hostRequest struct {
	header http.Header
	body   string
	form   bool
}

const (
	zeroes    = "0000000000000000000000000000000000000000"
	oldCommit = "1481a2de7b2a7d02428ad93446ab166be7793fbb"
	newCommit = "17c497ccc7cca9c2f735aa07e9e3813060ce9a6a"
)

// githubBody follows GitHub's push event.
func githubBody(branch string) string {
	return fmt.Sprintf(`{"ref":"refs/heads/%s","before":"%s","after":"%s","repository":{"id":1,"full_name":"example/deployments",`+
		`"clone_url":"https://github.com/example/deployments.git","default_branch":"main"},"pusher":{"name":"ann","email":"ann@example.com"},`+
		`"created":false,"deleted":false,"forced":false,"commits":[{"id":"%s","message":"v2 & more","modified":["production/checkout.yaml"]}]}`,
		branch, oldCommit, newCommit, newCommit)
}

func github(branch, delivery string) hostRequest {
	body := githubBody(branch)
	return hostRequest{header: header("Content-Type", "application/json", "X-GitHub-Event", "push", "X-GitHub-Delivery", delivery,
		"X-GitHub-Hook-ID", "292430182", "X-Hub-Signature-256", "sha256="+hexMAC(hookSecret, body)), body: body}
}

// githubForm is GitHub's default encoding: signed as it is sent.
func githubForm(branch, delivery string) hostRequest {
	body := url.Values{"payload": {githubBody(branch)}}.Encode()
	return hostRequest{header: header("X-GitHub-Event", "push", "X-GitHub-Delivery", delivery,
		"X-Hub-Signature-256", "sha256="+hexMAC(hookSecret, body)), body: body, form: true}
}

// gitea sends the headers of its relatives, too, and signs the JSON even within a form.
func gitea(branch, delivery string, form bool) hostRequest {
	body := githubBody(branch)
	signature := hexMAC(hookSecret, body)
	h := header("X-Gitea-Delivery", delivery, "X-Gitea-Event", "push", "X-Gitea-Signature", signature, "X-Gogs-Delivery", delivery,
		"X-Gogs-Event", "push", "X-Gogs-Signature", signature, "X-Hub-Signature", "sha1=7d38cdd689735b008b3c702edd92eea23791c5f6",
		"X-Hub-Signature-256", "sha256="+signature, "X-GitHub-Delivery", delivery, "X-GitHub-Event", "push")
	if form {
		body = url.Values{"payload": {body}}.Encode()
	}
	return hostRequest{header: h, body: body, form: form}
}

func gogs(branch, delivery string) hostRequest {
	body := githubBody(branch)
	return hostRequest{header: header("X-Gogs-Delivery", delivery, "X-Gogs-Event", "push", "X-Gogs-Signature", hexMAC(hookSecret, body)), body: body}
}

func gitlabBody(branch string) string {
	return fmt.Sprintf(`{"object_kind":"push","event_name":"push","before":"%s","after":"%s","ref":"refs/heads/%s","checkout_sha":"%s",`+
		`"user_name":"Ann","project_id":15,"project":{"path_with_namespace":"example/deployments","default_branch":"main"},"commits":[],"total_commits_count":1}`,
		oldCommit, newCommit, branch, newCommit)
}

const signingToken = "whsec_cm9sbGNhbGwtdGVzdC1zaWduaW5nLXRva2VuLTMyYiE="

// gitlabSigned is GitLab with a signing token, and a secret token that is another secret.
func gitlabSigned(branch, delivery string, at time.Time) hostRequest {
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(signingToken, "whsec_"))
	if err != nil {
		panic(err)
	}
	body, stamp := gitlabBody(branch), strconv.FormatInt(at.Unix(), 10)
	signature := base64.StdEncoding.EncodeToString(macOf(key, []byte(delivery+"."+stamp+"."+body)))
	return hostRequest{header: header("X-Gitlab-Event", "Push Hook", "X-Gitlab-Event-UUID", delivery, "Idempotency-Key", delivery,
		"X-Gitlab-Token", "another-secret-token", "webhook-id", delivery, "webhook-timestamp", stamp,
		"webhook-signature", "v1a,AAAA v1,"+signature), body: body}
}

func bitbucketCloud(branch, delivery string) hostRequest {
	body := fmt.Sprintf(`{"push":{"changes":[{"old":null,"new":{"type":"tag","name":"v2"},"created":true},`+
		`{"old":{"type":"branch","name":"%[1]s","target":{"hash":"%[2]s"}},"new":{"type":"branch","name":"%[1]s","target":{"hash":"%[3]s"}},`+
		`"created":false,"forced":false,"closed":false,"commits":[],"truncated":false}]},"repository":{"type":"repository","full_name":"example/deployments"},`+
		`"actor":{"type":"user","display_name":"Ann"}}`, branch, oldCommit, newCommit)
	return hostRequest{header: header("X-Event-Key", "repo:push", "X-Hook-UUID", "{7c3bd0a7-5d36-4a22-8dc1-9a6bb5a1a6f3}", "X-Request-UUID", delivery,
		"X-Attempt-Number", "1", "X-Hub-Signature", "sha256="+hexMAC(hookSecret, body)), body: body}
}

func bitbucketServer(branch, delivery string) hostRequest {
	body := fmt.Sprintf(`{"eventKey":"repo:refs_changed","date":"2024-05-02T09:45:32+0000","actor":{"name":"ann","id":2,"displayName":"Ann","active":true},`+
		`"repository":{"slug":"deployments","id":84,"scmId":"git","project":{"key":"EX","id":81}},"changes":[{"ref":{"id":"refs/heads/%s",`+
		`"displayId":"%s","type":"BRANCH"},"refId":"refs/heads/%s","fromHash":"%s","toHash":"%s","type":"UPDATE"}]}`,
		branch, branch, branch, oldCommit, newCommit)
	return hostRequest{header: header("X-Event-Key", "repo:refs_changed", "X-Request-Id", delivery, "X-Hub-Signature", "sha256="+hexMAC(hookSecret, body)), body: body}
}

func basic(user, password string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))
}

func azure(branch, delivery string) hostRequest {
	body := fmt.Sprintf(`{"subscriptionId":"5e4a1a2b-0000-0000-0000-000000000000","notificationId":3,"id":"%s","eventType":"git.push",`+
		`"publisherId":"tfs","resource":{"commits":[{"commitId":"%s"}],"refUpdates":[{"name":"refs/heads/%s","oldObjectId":"%s","newObjectId":"%s"}],`+
		`"repository":{"name":"deployments","defaultBranch":"refs/heads/main"},"pushId":14},"resourceVersion":"1.0"}`,
		delivery, newCommit, branch, zeroes, newCommit)
	return hostRequest{header: header("Content-Type", "application/json; charset=utf-8", "Authorization", basic("rollcall", hookSecret),
		"X-Request-Id", time.Now().String()), body: body} // a proxy's
}

// deliveriesByHost returns how each host notifies of a push to a branch.
func deliveriesByHost() map[string]func(branch, delivery string) hostRequest {
	return map[string]func(branch, delivery string) hostRequest{
		"GitHub": github, "GitHub's form": githubForm, "Gogs": gogs, "Azure DevOps": azure,
		"Gitea":                 func(b, d string) hostRequest { return gitea(b, d, false) },
		"Gitea's form":          func(b, d string) hostRequest { return gitea(b, d, true) },
		"Bitbucket Cloud":       bitbucketCloud,
		"Bitbucket Data Center": bitbucketServer,
		"GitLab, signed":        func(b, d string) hostRequest { return gitlabSigned(b, d, time.Now()) },
	}
}

// hookedFor is hooked with the secret of the host.
func hookedFor(t *testing.T, host string) func(hostRequest) (bool, string, error) {
	t.Helper()
	l, ctx := newHookSyncer(t)
	source := "main"
	if strings.HasPrefix(host, "GitLab") {
		source = "standard"
	}
	return func(s hostRequest) (bool, string, error) {
		return l.ReceivePush(ctx, source, s.header, []byte(s.body), s.form)
	}
}

func TestHook_PushOfEveryHostIsTaken(t *testing.T) {
	t.Parallel()
	for host, send := range deliveriesByHost() {
		t.Run(host, func(t *testing.T) {
			t.Parallel()
			take := hookedFor(t, host)
			for delivery, want := range map[string]bool{"3d6a1b7e-1": true, "3d6a1b7e-2": true} {
				if sync, why, err := take(send("main", delivery)); err != nil || sync != want {
					t.Errorf("delivery %s of the same commits: sync %v (%s), %v", delivery, sync, why, err)
				}
				if sync, why, err := take(send("main", delivery)); err != nil || sync || !strings.Contains(why, "delivered before") {
					t.Errorf("delivery %s again: sync %v (%s), %v", delivery, sync, why, err)
				}
			}
			if sync, why, err := take(send("other", "3d6a1b7e-3")); err != nil || sync || !strings.Contains(why, "another branch") {
				t.Errorf("a push elsewhere: sync %v (%s), %v", sync, why, err)
			}
			tampered := send("main", "3d6a1b7e-4")
			tampered.body += " "
			if host == "Azure DevOps" {
				tampered.header.Set("Authorization", basic("rollcall", "another secret here"))
			}
			if strings.Contains(host, "Gitea's form") {
				tampered.body = strings.Replace(tampered.body, "main", "mane", 1)
			}
			if _, _, err := take(tampered); problem.CodeOf(err) != problem.CodeBadSignature {
				t.Errorf("a notification that was changed: %v", err)
			}
		})
	}
}

func TestHook_PingOfBitbucketIsAnswered(t *testing.T) {
	t.Parallel()
	take := hookedFor(t, "Bitbucket Data Center")
	ping := func(signature string) hostRequest {
		h := header("X-Event-Key", "diagnostics:ping", "X-Request-Id", "1")
		if signature != "" {
			h.Set("X-Hub-Signature", signature)
		}
		return hostRequest{header: h, body: `{"test":true}`}
	}
	for signature, want := range map[string]string{
		"": "without a signature", "sha256=" + hexMAC(hookSecret, `{"test":true}`): "signed as it should be",
	} {
		if sync, why, err := take(ping(signature)); err != nil || sync || !strings.Contains(why, want) {
			t.Errorf("%q: sync %v (%s), %v", signature, sync, why, err)
		}
	}
	if _, _, err := take(ping("sha256=" + hexMAC("another secret", `{"test":true}`))); problem.CodeOf(err) != problem.CodeBadSignature {
		t.Errorf("a ping with another secret: %v", err)
	}
}

func TestHook_SigningTokenIsBoundToItsTime(t *testing.T) {
	t.Parallel()
	take := hookedFor(t, "GitLab")
	for age, want := range map[time.Duration]bool{4 * time.Minute: true, -4 * time.Minute: true, 6 * time.Minute: false, -6 * time.Minute: false} {
		if sync, _, err := take(gitlabSigned("main", age.String(), time.Now().Add(-age))); sync != want || (err == nil) != want {
			t.Errorf("%s old: sync %v, %v", age, sync, err)
		}
	}
}

func TestHook_UnknownSignatureNamesWhatWasFound(t *testing.T) {
	t.Parallel()
	l, ctx := newHookSyncer(t)
	for _, c := range []struct{ name, value, want string }{
		{"X-Hub-Signature", "sha1=" + zeroes, "it has X-Hub-Signature of the unknown kind sha1"},
		{"X-Example-Signature", "a-value", "it has X-Example-Signature of an unknown kind"},
		{"X-Hub-Signature-256", "sha256=" + hexMAC("other", "{}"), "it has X-Hub-Signature-256, which does not match"},
		{"Authorization", "Bearer a-value", "it has Authorization of an unknown kind"},
		{"Content-Type", "application/json", "it has no header with a signature"},
	} {
		var texts []string
		for _, source := range []string{"main", "deaf", "none"} { // whether there is such a source does not show
			_, _, err := l.ReceivePush(ctx, source, header(c.name, c.value, "X-GitHub-Event", "push"), []byte("{}"), false)
			if problem.CodeOf(err) != problem.CodeBadSignature {
				t.Fatalf("%s: %v", c.name, err)
			}
			texts = append(texts, err.Error())
		}
		if !strings.Contains(texts[0], c.want) || strings.Contains(texts[0], c.value) || texts[0] != texts[1] || texts[0] != texts[2] {
			t.Errorf("%s: %q", c.name, texts)
		}
		for _, known := range []string{"X-Hub-Signature-256", "X-Hub-Signature: sha256=", "X-Gogs-Signature", "Webhook-Signature", "X-Gitlab-Token", "Authorization: Basic"} {
			if !strings.Contains(texts[0], known) {
				t.Errorf("the refusal does not name %s: %s", known, texts[0])
			}
		}
	}
}

func TestHook_SignedBodyMustBeANotification(t *testing.T) {
	t.Parallel()
	l, ctx := newHookSyncer(t)
	for _, body := range []string{"[]", "7", "", "{", `"x"`, "payload={}"} {
		h := header("X-GitHub-Event", "push", "X-Hub-Signature-256", "sha256="+hexMAC(hookSecret, body))
		if _, _, err := l.ReceivePush(ctx, "main", h, []byte(body), false); problem.CodeOf(err) != problem.CodeInvalid {
			t.Errorf("%q: %v", body, err)
		}
	}
}

func TestHook_OnlyPushesLeadToASync(t *testing.T) {
	t.Parallel()
	l, ctx := newHookSyncer(t)
	for i, c := range []struct {
		name, value, body string
		want              bool
	}{
		{"X-Event-Key", "mirror:repo_synchronized", `{"changes":[{"ref":{"id":"refs/heads/main"}}]}`, true},
		{"X-Event-Key", "repo:push", `{"push":{"changes":[{"old":{"type":"branch","name":"main"},"new":null}]}}`, true},
		{"X-Event-Key", "repo:push", `{"push":{"changes":[{"old":null,"new":{"type":"tag","name":"main"}}]}}`, false},
		{"X-Event-Key", "pr:merged", `{}`, false},
		{"X-Gitlab-Event", "System Hook", `{"event_name":"repository_update","changes":[{"ref":"refs/heads/main"}],"refs":["refs/heads/main"]}`, true},
		{"X-Gitlab-Event", "Tag Push Hook", `{"ref":"refs/tags/main"}`, false},
		{"X-GitHub-Event", "pull_request", `{"action":"closed"}`, false},
		{"X-GitHub-Event", "push", `{"ref":7}`, true},
		{"X-Request-Id", "1", `{"eventType":"git.pullrequest.merged","id":"2"}`, false},
	} {
		h := header(c.name, c.value, "X-Hub-Signature-256", "sha256="+hexMAC(hookSecret, c.body))
		if sync, why, err := l.ReceivePush(ctx, "main", h, []byte(c.body), false); err != nil || sync != c.want {
			t.Errorf("%d, %s: sync %v (%s), %v", i, c.value, sync, why, err)
		}
	}
}

package notify

import (
	"cmp"
	"encoding/json"
	"net/url"
	"strings"
	"testing"
	"time"

	"rollcall/internal/notification"
	"rollcall/internal/rollout"
)

func TestCDEvents_EnvelopeRepeatsEvent(t *testing.T) {
	t.Parallel()
	r := newReceiver(t, nil)
	wantStatus(t, deliverOnce(t, "https://r.example.com", delivery(notification.KindCDEvents, r.URL, completed(nil))), notification.DeliveryDelivered)
	got := r.last(t)
	if kind := got.header.Get("Content-Type"); kind != "application/cloudevents+json; charset=utf-8" {
		t.Errorf("Content-Type %q", kind)
	}
	const id, source, kind, when = "0199f2a4-0000-7000-8000-000000000001", "https://r.example.com", "dev.cdevents.service.upgraded.0.2.0", "2026-05-01T12:00:05Z"
	wantJSON(t, got.body, map[string]any{
		"specversion": "1.0", "id": id, "source": source, "type": kind, "subject": "checkout", "time": when, "datacontenttype": "application/json",
		"data": map[string]any{
			"context": map[string]any{"version": "0.4.1", "id": id, "source": source, "type": kind, "timestamp": when},
			"subject": map[string]any{
				"id": "checkout", "source": source, "type": "service",
				"content": map[string]any{
					"environment": map[string]any{"id": "production", "source": source}, "artifactId": "pkg:generic/checkout@v2%2B1",
				},
			},
			"customData": map[string]any{
				"deployment_id": "0199f2a4-5c1e-7d3a-9b60-2f1c8a7e4d11", "kind": "deploy", "version": "v2+1", "previous_version": "v1",
				"requested_by": "token:ci", "labels": map[string]any{"commit": "abc123"},
			},
			"customDataContentType": "application/json",
		},
	})
}

// allowed are the fields that the schemas of service.deployed, upgraded and rolledback know, 0.2.0 in CDEvents v0.4.1 and 0.3.0
// in v0.5.1; true for those that they require. They allow no others. The schemas themselves are in github.com/cdevents/spec.
func allowed(version string) map[string]map[string]bool {
	fields := map[string]map[string]bool{
		"":                            {"context": true, "subject": true, "customData": false, "customDataContentType": false},
		"context":                     {"id": true, "source": true, "type": true, "timestamp": true, "schemaUri": false, "chainId": false, "links": false},
		"subject":                     {"id": true, "source": false, "content": true},
		"subject/content":             {"environment": true, "artifactId": true},
		"subject/content/environment": {"id": true, "source": false},
	}
	if version == notification.CDEvents05 {
		fields["context"]["specversion"] = true
	} else {
		fields["context"]["version"], fields["subject"]["type"] = true, true
	}
	return fields
}

func TestCDEvents_MatchesSchema(t *testing.T) {
	t.Parallel()
	for version, events := range map[string]string{"": "0.2.0", notification.CDEvents04: "0.2.0", notification.CDEvents05: "0.3.0"} {
		checkFields(t, version, events)
	}
}

// checkFields holds each event against the schema of the version; events is the version of the events in it.
func checkFields(t *testing.T, version, events string) {
	t.Helper()
	for name, m := range map[string]notification.Message{
		"deployed": completed(func(m *notification.Message) { m.PreviousVersions = nil }),
		"upgraded": completed(nil),
		"rolledback": completed(func(m *notification.Message) {
			m.State, m.PreviousVersions = rollout.StateRolledBack, []string{"v0", "v1"}
		}),
	} {
		d := delivery(notification.KindCDEvents, "http://x", m)
		d.Subscription.CDEventsVersion = version
		encoded, err := json.Marshal(cdevents{}.newEvent(d))
		if err != nil {
			t.Fatal(err)
		}
		var envelope struct{ Data map[string]any }
		if err := json.Unmarshal(encoded, &envelope); err != nil {
			t.Fatal(err)
		}
		for path, fields := range allowed(version) {
			object := envelope.Data
			for _, step := range steps(path) {
				object, _ = object[step].(map[string]any)
			}
			for field, required := range fields {
				if value, there := object[field]; required && (!there || value == "") {
					t.Errorf("%s: %s/%s is missing", name, path, field)
				}
			}
			for field := range object {
				if _, known := fields[field]; !known {
					t.Errorf("%s: the schema does not know %s/%s", name, path, field)
				}
			}
		}
		context, _ := envelope.Data["context"].(map[string]any)
		if said := cmp.Or(context["version"], context["specversion"]); said != cmp.Or(version, notification.CDEvents04) {
			t.Errorf("%s: it says that it is of version %v, not %s", name, said, version)
		}
		stamp, _ := context["timestamp"].(string)
		if _, err := time.Parse(time.RFC3339, stamp); err != nil {
			t.Error(err)
		}
		source, _ := context["source"].(string)
		if _, err := url.Parse(source); err != nil || context["type"] != "dev.cdevents.service."+name+"."+events {
			t.Errorf("%s: %v", name, context)
		}
	}
}

func steps(path string) []string {
	return strings.FieldsFunc(path, func(r rune) bool { return r == '/' })
}

func TestCDEvents_ArtifactRunsAfterwards(t *testing.T) {
	t.Parallel()
	for want, m := range map[string]notification.Message{
		"pkg:generic/checkout@v1": completed(func(m *notification.Message) { m.State = rollout.StateRolledBack }),
		"pkg:generic/checkout": completed(func(m *notification.Message) {
			m.State, m.PreviousVersions = rollout.StateRolledBack, []string{"v0", "v1"}
		}),
		"pkg:generic/checkout@v1.9": completed(func(m *notification.Message) {
			m.State, m.Kind, m.Version = rollout.StateRolledBack, rollout.KindRollback, "v1.9"
		}),
		"pkg:generic/checkout@a%20b%2Fc%40d%3Fe%23f": completed(func(m *notification.Message) { m.Version = "a b/c@d?e#f" }),
	} {
		if got := packageURL(m.Service, versionAfter(&m)); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

func TestCDEvents_TestIsCustomEvent(t *testing.T) {
	t.Parallel()
	r := newReceiver(t, nil)
	wantStatus(t, deliverOnce(t, "", delivery(notification.KindCDEvents, r.URL, testMessage())), notification.DeliveryDelivered)
	newer := delivery(notification.KindCDEvents, "http://x", testMessage())
	newer.Subscription.CDEventsVersion = notification.CDEvents05
	if e := (cdevents{}).newEvent(newer); e.Type != "dev.cdeventsx.rollcall-notification.tested.0.2.0" || e.Data.Subject.Type != "" {
		t.Errorf("%+v", e)
	}
	var got cloudEvent
	if err := json.Unmarshal(r.last(t).body, &got); err != nil {
		t.Fatal(err)
	}
	if got.Type != "dev.cdeventsx.rollcall-notification.tested.0.1.0" || got.Data.Subject.Type != "rollcall-notification" || got.Source != "/rollcall" {
		t.Errorf("%+v", got)
	}
}

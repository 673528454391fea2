package notify

import (
	"context"
	"net/url"
	"strings"
	"time"

	"rollcall/internal/egress"
	"rollcall/internal/notification"
	"rollcall/internal/nullable"
	"rollcall/internal/rollout"
)

// The types of events (github.com/cdevents/spec, tags v0.4.1 and v0.5.1), without their versions.
const (
	serviceDeployed   = "dev.cdevents.service.deployed."
	serviceUpgraded   = "dev.cdevents.service.upgraded."
	serviceRolledback = "dev.cdevents.service.rolledback."
	// notificationTested is a custom event, named as the specification requires.
	notificationTested = "dev.cdeventsx.rollcall-notification.tested."
)

// dialect describes a version of CDEvents: the versions of its events, its name for the version, and whether a subject
// names its type. The schemas of the versions reject each other's events.
type dialect struct {
	version, service, custom string
	specversion              bool
	subjectType              bool
}

func newDialect(version string) dialect {
	if version == notification.CDEvents05 {
		return dialect{version: notification.CDEvents05, service: "0.3.0", custom: "0.2.0", specversion: true}
	}
	return dialect{version: notification.CDEvents04, service: "0.2.0", custom: "0.1.0", subjectType: true}
}

// cdevents sends a CDEvent in a CloudEvent 1.0, in structured content mode.
type cdevents struct{ at publicURL }

// cloudEvent is the envelope: its attributes repeat the CDEvent's own ("CloudEvents Binding for CDEvents").
type cloudEvent struct {
	SpecVersion     string    `json:"specversion"`
	ID              string    `json:"id"`
	Source          string    `json:"source"`
	Type            string    `json:"type"`
	Subject         string    `json:"subject"`
	Time            time.Time `json:"time"`
	DataContentType string    `json:"datacontenttype"`
	Data            cdEvent   `json:"data"`
}

type cdEvent struct {
	Context               cdContext      `json:"context"`
	Subject               cdSubject      `json:"subject"`
	CustomData            map[string]any `json:"customData"`
	CustomDataContentType string         `json:"customDataContentType"`
}

type cdContext struct {
	Version     string    `json:"version,omitempty"`
	SpecVersion string    `json:"specversion,omitempty"`
	ID          string    `json:"id"`
	Source      string    `json:"source"`
	Type        string    `json:"type"`
	Timestamp   time.Time `json:"timestamp"`
}

type cdSubject struct {
	ID      string `json:"id"`
	Source  string `json:"source"`
	Type    string `json:"type,omitempty"`
	Content any    `json:"content"`
}

// serviceContent is the content of the service's events; both fields are required.
type serviceContent struct {
	Environment cdReference `json:"environment"`
	ArtifactID  string      `json:"artifactId"`
}

type cdReference struct {
	ID     string `json:"id"`
	Source string `json:"source"`
}

func (k cdevents) deliverMessage(ctx context.Context, send sender, c *notification.ClaimedDelivery) egress.Response {
	return send(ctx, newSignedPost(c, "application/cloudevents+json; charset=utf-8", k.newEvent(c)))
}

func (k cdevents) newEvent(c *notification.ClaimedDelivery) cloudEvent {
	m, source, speaks := &c.Message, k.at.eventSource(), newDialect(c.Subscription.CDEventsVersion)
	e := cdEvent{
		Context: cdContext{ID: c.ID, Source: source, Type: speaks.typeOf(m), Timestamp: m.At.UTC()},
		Subject: k.newSubject(m), CustomData: customData(m), CustomDataContentType: "application/json",
	}
	if speaks.specversion {
		e.Context.SpecVersion = speaks.version
	} else {
		e.Context.Version = speaks.version
	}
	if !speaks.subjectType {
		e.Subject.Type = ""
	}
	return cloudEvent{
		SpecVersion: "1.0", ID: e.Context.ID, Source: source, Type: e.Context.Type, Subject: e.Subject.ID, Time: e.Context.Timestamp,
		DataContentType: "application/json", Data: e,
	}
}

// typeOf returns the event's type. A service without a known previous version is deployed, otherwise upgraded.
func (s dialect) typeOf(m *notification.Message) string {
	switch {
	case m.IsTest():
		return notificationTested + s.custom
	case m.State == rollout.StateRolledBack:
		return serviceRolledback + s.service
	case len(m.PreviousVersions) > 0:
		return serviceUpgraded + s.service
	default:
		return serviceDeployed + s.service
	}
}

func (k cdevents) newSubject(m *notification.Message) cdSubject {
	source := k.at.eventSource()
	if m.IsTest() {
		return cdSubject{ID: "test", Source: source, Type: "rollcall-notification", Content: map[string]any{}}
	}
	return cdSubject{ID: m.Service, Source: source, Type: "service", Content: serviceContent{
		Environment: cdReference{ID: m.Environment, Source: source}, ArtifactID: packageURL(m.Service, versionAfter(m)),
	}}
}

// versionAfter returns the version that the service runs after the event; empty if its targets run different ones.
func versionAfter(m *notification.Message) string {
	if m.State == rollout.StateRolledBack && m.Kind == rollout.KindDeploy {
		return m.PreviousVersion()
	}
	return m.Version
}

// packageURL returns a package URL (github.com/package-url/purl-spec) of the generic type, because a version can be any text.
func packageURL(service, version string) string {
	purl := "pkg:generic/" + percentEncode(service)
	if version != "" {
		purl += "@" + percentEncode(version)
	}
	return purl
}

func percentEncode(text string) string { return strings.ReplaceAll(url.QueryEscape(text), "+", "%20") }

// customData returns the data for which CDEvents have no fields.
func customData(m *notification.Message) map[string]any {
	if m.IsTest() {
		return map[string]any{}
	}
	return map[string]any{
		"deployment_id": m.DeploymentID, "kind": m.Kind, "version": nullable.Of(m.Version), "previous_version": nullable.Of(m.PreviousVersion()),
		"requested_by": m.RequestedBy, "labels": m.Labels,
	}
}

package e2e

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
)

// browser is one tab of a real browser. A test fails when a page says anything bad in its console: an error of the script,
// or something that the policy of the page forbids.
type browser struct {
	t   *testing.T
	ctx context.Context
	mu  sync.Mutex
	// said are the complaints; forgiven are words of those that are expected.
	said     []string
	forgiven []string
}

// browse opens a tab, in a browser without history.
func browse(t *testing.T) *browser {
	t.Helper()
	profile, err := os.MkdirTemp("", "rollcall-browser-")
	if err != nil {
		t.Fatal(err)
	}
	allocated, free := chromedp.NewExecAllocator(t.Context(), chromedp.ExecPath(chromium(t)), chromedp.UserDataDir(profile),
		chromedp.Headless, chromedp.NoSandbox, chromedp.DisableGPU, chromedp.NoFirstRun, chromedp.Flag("disable-quic", true),
		chromedp.Flag("disable-background-networking", true), chromedp.Flag("disable-component-update", true),
		chromedp.Flag("disable-sync", true), chromedp.Flag("disable-dev-shm-usage", true))
	ctx, closeTab := chromedp.NewContext(allocated)
	b := &browser{t: t, ctx: ctx}
	t.Cleanup(func() {
		closeTab()
		free()
		_ = os.RemoveAll(profile) // a child of the browser may still write there
	})
	if err := chromedp.Do(ctx, chromedp.EmulateViewport(1280, 900)); err != nil { // it starts the browser, which lives as long as this context
		t.Fatal(err)
	}
	messages := chromedp.Console(ctx)
	go func() {
		for m, err := range messages {
			if err == nil && (m.Type == chromedp.ConsoleError || m.Type == chromedp.ConsoleException || m.Source == "security") {
				b.mu.Lock()
				b.said = append(b.said, m.Text)
				b.mu.Unlock()
			}
		}
	}()
	t.Cleanup(b.assertQuiet)
	return b
}

// chromium is the browser's program. Without one the tests that need it are skipped, but never in CI.
func chromium(t *testing.T) string {
	t.Helper()
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	if os.Getenv("CI") != "" {
		t.Fatal("there is no chromium")
	}
	t.Skip("there is no chromium")
	return ""
}

func (b *browser) assertQuiet() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, text := range b.said {
		if !containsAny(text, b.forgiven) {
			b.t.Errorf("the console says: %s", text)
		}
	}
}

func containsAny(text string, parts []string) bool {
	for _, part := range parts {
		if strings.Contains(text, part) {
			return true
		}
	}
	return false
}

// do carries out steps, within the time that a person would wait.
func (b *browser) do(steps ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, 40*time.Second)
	defer cancel()
	if err := chromedp.Do(ctx, steps...); err != nil {
		b.t.Fatalf("the browser: %v; it shows: %s", err, b.screen())
	}
}

// open shows a page whose script is at work.
func (b *browser) open(url string) {
	b.t.Helper()
	b.do(chromedp.Navigate(url))
	b.awaitThat("the script runs", `document.documentElement.dataset.ready !== undefined`)
}

// click presses what the selector finds, once it can be seen.
func (b *browser) click(css string) {
	b.t.Helper()
	b.do(chromedp.Click(chromedp.CSS(css), chromedp.NodeVisible))
}

// fill types into a field.
func (b *browser) fill(css, text string) {
	b.t.Helper()
	b.do(chromedp.SendKeys(chromedp.CSS(css), text, chromedp.NodeVisible))
}

// action presses a button of a deployment and confirms what the dialog says it will do.
func (b *browser) action(name string, will ...string) {
	b.t.Helper()
	button := `#part-summary a[href$="/` + name + `"]`
	b.awaitThat(name+" is offered", `document.querySelector(`+quoted(button)+`) !== null`)
	// The page may be drawing another button at this very moment; a person would press again.
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); {
		ctx, cancel := context.WithTimeout(b.ctx, 5*time.Second)
		err := chromedp.Do(ctx, chromedp.Click(chromedp.CSS(button), chromedp.NodeVisible))
		cancel()
		if err == nil {
			break
		}
	}
	b.awaitThat("the question is asked", `document.querySelector("dialog[open] #confirm") !== null`)
	question := eval[string](b, `document.querySelector("dialog").textContent`)
	for _, words := range will {
		if !strings.Contains(question, words) {
			b.t.Errorf("%s asks %q, without %q", name, question, words)
		}
	}
	b.click(`dialog #confirm`)
}

// eval is what an expression is worth in the page.
func eval[T any](b *browser, expression string) T {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, 20*time.Second)
	defer cancel()
	value, err := chromedp.Run(ctx, chromedp.Evaluate[T](expression))
	if err != nil {
		b.t.Fatalf("%s: %v", expression, err)
	}
	return value
}

// awaitThat waits until the page makes the expression true, over navigations as well.
func (b *browser) awaitThat(what, expression string) {
	b.t.Helper()
	deadline := time.Now().Add(40 * time.Second)
	for {
		ctx, cancel := context.WithTimeout(b.ctx, 20*time.Second)
		holds, err := chromedp.Run(ctx, chromedp.Evaluate[bool](expression))
		cancel()
		if err == nil && holds {
			return
		}
		if time.Now().After(deadline) {
			b.t.Fatalf("never: %s (%v); the page shows: %s", what, err, b.screen())
		}
		select { // a page that is just being left answers with an error: it is asked again
		case <-b.ctx.Done():
			b.t.Fatal(b.ctx.Err())
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// awaitText waits until what the selector finds contains the text.
func (b *browser) awaitText(css, text string) {
	b.t.Helper()
	b.awaitThat(css+" says "+text, `(document.querySelector(`+quoted(css)+`)?.textContent ?? "").includes(`+quoted(text)+`)`)
}

// screen is all that can be read on the page, for a failing test.
func (b *browser) screen() string {
	ctx, cancel := context.WithTimeout(b.ctx, 5*time.Second)
	defer cancel()
	text, err := chromedp.Run(ctx, chromedp.Evaluate[string](`document.body.innerText.slice(0, 1500)`))
	if err != nil {
		return err.Error()
	}
	return text
}

func quoted(text string) string {
	data, _ := json.Marshal(text) // a string is always encoded
	return string(data)
}

// theme makes the browser prefer light or dark pages.
func (b *browser) theme(name string) {
	b.t.Helper()
	_, err := chromedp.Call(b.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
		Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: name}},
	})
	if err != nil {
		b.t.Fatal(err)
	}
}

// signIn opens the page with the token of these tests.
func (b *browser) signIn(p *process, path string) {
	b.t.Helper()
	b.open(p.url + path)
	b.fill("#token", adminToken)
	b.click("form.stack button")
	b.awaitThat("signed in", `document.querySelector(".who")?.textContent.length > 0`)
	b.awaitThat("the script runs", `document.documentElement.dataset.ready !== undefined`)
}

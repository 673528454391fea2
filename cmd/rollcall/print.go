package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"rollcall/internal/api/types"
)

// printResponse writes the API's response as JSON, or calls show to write it for people.
func (a *app) printResponse(response []byte, show func()) error {
	if !a.json {
		show()
		return nil
	}
	var pretty bytes.Buffer
	if err := json.Indent(&pretty, response, "", "  "); err != nil {
		return fmt.Errorf("read the server's response: %w", err)
	}
	_, err := fmt.Fprintln(a.out, strings.TrimSpace(pretty.String()))
	return err
}

// printItems prints a complete list, as print does.
func (a *app) printItems(items any, show func()) error {
	if !a.json {
		show()
		return nil
	}
	whole, err := json.Marshal(map[string]any{"items": items})
	if err != nil {
		return fmt.Errorf("encode the list: %w", err)
	}
	return a.printResponse(whole, nil)
}

// table is aligned columns of text with headings.
type table struct{ rows [][]string }

func newTable(names ...string) *table { return &table{rows: [][]string{names}} }

func (t *table) addRow(cells ...any) {
	texts := make([]string, len(cells))
	for i, cell := range cells {
		texts[i] = replaceControls(fmt.Sprint(cell))
	}
	t.rows = append(t.rows, texts)
}

func (t *table) writeTo(w io.Writer) {
	columns := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, cells := range t.rows {
		fmt.Fprintln(columns, strings.Join(cells, "\t"))
	}
	_ = columns.Flush() // a failed write to standard output cannot be reported
}

// replaceControls replaces control characters, so that foreign text cannot move the cursor or the columns.
func replaceControls(text string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 {
			return ' '
		}
		return r
	}, text)
}

// orDash returns the text, or a dash for none.
func orDash[S ~string](text *S) string {
	if text == nil || *text == "" {
		return "-"
	}
	return string(*text)
}

// formatTime formats a time in the local zone.
func formatTime(t time.Time) string { return t.Local().Format("2006-01-02 15:04:05") }

// elapsedTime returns how long a deployment has run, or has been waiting.
func elapsedTime(d *types.Deployment, now time.Time) time.Duration {
	from, to := d.CreatedAt, now
	if d.StartedAt != nil {
		from = *d.StartedAt
	}
	if d.FinishedAt != nil {
		to = *d.FinishedAt
	}
	return max(0, to.Sub(from)).Round(time.Second)
}

// deploymentTitle returns the service, the environment and the version of a deployment.
func deploymentTitle(d *types.Deployment) string {
	name := fmt.Sprintf("%s in %s", d.Service, d.Environment)
	switch {
	case d.Kind == "rollback" && d.Version == nil:
		return name + ": rollback"
	case d.Kind == "rollback":
		return fmt.Sprintf("%s: rollback to %s", name, replaceControls(*d.Version))
	default:
		return fmt.Sprintf("%s: %s", name, replaceControls(orDash(d.Version)))
	}
}

// printSummary writes a deployment as one line; its id comes first, for scripts.
func printSummary(w io.Writer, d *types.Deployment) {
	fmt.Fprintf(w, "%s  %s, %s: %s\n", d.ID, deploymentTitle(d), d.State, replaceControls(d.Reason))
}

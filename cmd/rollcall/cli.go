package main

import (
	"context"
	"fmt"
	"io"
	"runtime/debug"
	"time"

	"github.com/alecthomas/kong"

	"rollcall/internal/client"
)

// cli holds all flags and commands. A flag's value comes from the command line, else from its environment variable, else from its default.
type cli struct {
	URL      string           `help:"URL of the server." default:"http://localhost:8080" env:"ROLLCALL_URL"`
	Token    string           `help:"API token." env:"ROLLCALL_TOKEN"`
	JSON     bool             `name:"json" help:"Print the API's response as JSON."`
	Plain    bool             `help:"Print lines instead of a progress bar on a terminal." env:"ROLLCALL_PLAIN"`
	RetryFor time.Duration    `name:"patience" help:"How long to retry while the server is unreachable." default:"1m" env:"ROLLCALL_PATIENCE"`
	Version  kong.VersionFlag `help:"Print the version and exit."`

	Deploy        deployCmd        `cmd:"" help:"Start a deployment."`
	Plan          planCmd          `cmd:"" help:"Show what a deployment would do, without starting it."`
	Status        statusCmd        `cmd:"" help:"Show what a service runs, or the state of a deployment."`
	Watch         watchCmd         `cmd:"" help:"Follow a deployment until it ends, or the events of all deployments."`
	History       historyCmd       `cmd:"" help:"List deployments, newest first."`
	Targets       targetsCmd       `cmd:"" help:"List the targets of a deployment and their states."`
	Events        eventsCmd        `cmd:"" help:"List the events of a deployment."`
	Verify        verifyCmd        `cmd:"" help:"Verify the event log's hash chain for one deployment, or for all."`
	Pause         pauseCmd         `cmd:"" help:"Pause a deployment: start no more calls until resume."`
	Resume        resumeCmd        `cmd:"" help:"Resume a paused deployment."`
	Promote       promoteCmd       `cmd:"" help:"Pass the gate at which a deployment waits."`
	Abort         abortCmd         `cmd:"" help:"Stop a deployment for good and leave every target as it is."`
	Rollback      rollbackCmd      `cmd:"" help:"Restore the previous version of every touched target."`
	Retry         retryCmd         `cmd:"" help:"Retry the targets that a finished deployment did not update."`
	Services      servicesCmd      `cmd:"" help:"List services and their last deployments."`
	Stats         statsCmd         `cmd:"" help:"Show DORA metrics."`
	Gitops        gitopsCmd        `cmd:"" help:"Manage Git sources, and compare desired with running versions."`
	Notifications notificationsCmd `cmd:"" help:"Manage notification receivers."`
	Tokens        tokensCmd        `cmd:"" help:"Manage API tokens."`
	Completion    completionCmd    `cmd:"" help:"Print a shell completion script."`
}

// app holds what every command uses.
type app struct {
	client *client.Client
	model  *kong.Application
	out    io.Writer
	// stderr takes notes for people; out has the result alone.
	stderr io.Writer
	json   bool
	// screen is nil if only lines may be printed.
	screen *screen
}

// runCommand runs the selected command.
func (c *cli) runCommand(ctx context.Context, chosen *kong.Context, out, stderr io.Writer) error {
	api, err := client.New(client.Config{
		URL: c.URL, Token: c.Token, RetryFor: c.RetryFor,
		OnOutage: func(err error) { reportOutage(stderr, err) },
	})
	if err != nil {
		return &usageError{err: err}
	}
	a := &app{client: api, model: chosen.Model, out: out, stderr: stderr, json: c.JSON}
	if !c.JSON && !c.Plain {
		a.screen = screenOf(out)
	}
	chosen.BindTo(ctx, (*context.Context)(nil))
	return chosen.Run(a)
}

// reportOutage reports that the server is unreachable, with the reason, and with nil that it is reachable again.
func reportOutage(w io.Writer, err error) {
	if err != nil {
		fmt.Fprintf(w, "rollcall: cannot reach the server; retrying: %s\n", err)
		return
	}
	fmt.Fprintln(w, "rollcall: the server is reachable again")
}

func buildVersion() string {
	info, ok := debug.ReadBuildInfo()
	if !ok || info.Main.Version == "" {
		return "(devel)"
	}
	return info.Main.Version
}

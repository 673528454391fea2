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

// cli is what can be asked for: a flag, else its environment variable, else the default.
type cli struct {
	URL      string           `help:"The server." default:"http://localhost:8080" env:"ROLLCALL_URL"`
	Token    string           `help:"Who is asking." env:"ROLLCALL_TOKEN"`
	JSON     bool             `name:"json" help:"Print what the API answers, as JSON."`
	Plain    bool             `help:"Print lines even on a terminal." env:"ROLLCALL_PLAIN"`
	Patience time.Duration    `help:"How long a server that cannot be reached is asked again." default:"1m" env:"ROLLCALL_PATIENCE"`
	Version  kong.VersionFlag `help:"Print the version and exit."`

	Deploy        deployCmd        `cmd:"" help:"Ask for a deployment."`
	Plan          planCmd          `cmd:"" help:"Say what a deployment would do."`
	Status        statusCmd        `cmd:"" help:"Show what a service runs, or how a deployment stands."`
	Watch         watchCmd         `cmd:"" help:"Follow a deployment to its end, or the events of all."`
	History       historyCmd       `cmd:"" help:"List deployments, newest first."`
	Targets       targetsCmd       `cmd:"" help:"List what became of each target of a deployment."`
	Events        eventsCmd        `cmd:"" help:"List what happened in a deployment."`
	Verify        verifyCmd        `cmd:"" help:"Check that nobody has changed what is written of a deployment, or of all."`
	Pause         pauseCmd         `cmd:"" help:"Start no more calls until resume."`
	Resume        resumeCmd        `cmd:"" help:"Go on after a pause."`
	Promote       promoteCmd       `cmd:"" help:"Go on past the gate that a deployment waits at."`
	Abort         abortCmd         `cmd:"" help:"Stop for good and leave every target as it is."`
	Rollback      rollbackCmd      `cmd:"" help:"Give every touched target its previous version back."`
	Retry         retryCmd         `cmd:"" help:"Do what a finished deployment left undone."`
	Services      servicesCmd      `cmd:"" help:"List services and what was last deployed of them."`
	Stats         statsCmd         `cmd:"" help:"Say how well changes reach services: DORA's measures."`
	Gitops        gitopsCmd        `cmd:"" help:"Say what Git wants to run, and what runs."`
	Notifications notificationsCmd `cmd:"" help:"Say who is told what becomes of deployments."`
	Tokens        tokensCmd        `cmd:"" help:"Say who may do what."`
	Completion    completionCmd    `cmd:"" help:"Print the completion script of a shell."`
}

// session is what every command works with.
type session struct {
	client *client.Client
	model  *kong.Application
	out    io.Writer
	// notes are for people, beside the result.
	notes io.Writer
	json  bool
	// screen is nil where only lines may be printed.
	screen *screen
}

// carryOut runs the chosen command.
func (c *cli) carryOut(ctx context.Context, chosen *kong.Context, out, complaints io.Writer) error {
	asking, err := client.New(client.Config{
		URL: c.URL, Token: c.Token, Patience: c.Patience,
		Notice: func(err error) { notice(complaints, err) },
	})
	if err != nil {
		return &wrongUseError{err: err}
	}
	s := &session{client: asking, model: chosen.Model, out: out, notes: complaints, json: c.JSON}
	if !c.JSON && !c.Plain {
		s.screen = screenOf(out)
	}
	chosen.BindTo(ctx, (*context.Context)(nil))
	return chosen.Run(s)
}

// notice tells why nothing comes, as long as that is so.
func notice(w io.Writer, err error) {
	if err != nil {
		fmt.Fprintf(w, "rollcall: the server does not answer, trying again: %s\n", err)
		return
	}
	fmt.Fprintln(w, "rollcall: the server answers again")
}

func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok || info.Main.Version == "" {
		return "(devel)"
	}
	return info.Main.Version
}

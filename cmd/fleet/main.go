// Command fleet starts pretend targets that take Rollcall's deploy webhook, and, when it is given Rollcall's address, rolls
// a version out over them and shows the progress. It is the demo, and a playground for strategies and failures.
//
// It exits 0 when the rollout succeeded or none was asked for, 1 otherwise.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"

	"github.com/alecthomas/kong"

	"rollcall/internal/testtarget"
)

// flags are the command line.
type flags struct {
	Host      string            `default:"127.0.0.1" help:"Address to listen on."`
	Advertise string            `help:"Host name under which Rollcall reaches the targets; the address listened on if empty."`
	Port      int               `default:"9101" help:"Port of the first target; the others follow. 0 takes free ones."`
	Targets   int               `default:"6" help:"How many targets to start."`
	Running   string            `default:"v1" help:"Version that they run at first."`
	Delay     time.Duration     `default:"300ms" help:"How long a target takes to deploy."`
	Fail      map[string]string `placeholder:"ID=HOW" help:"Have a target fail: unhealthy, hang, lie, reset, or a status to answer. May be repeated."`

	Deploy      string        `placeholder:"URL" help:"Roll out through the Rollcall at this address, and show the progress."`
	Version     string        `default:"v2" help:"Version to roll out."`
	Service     string        `default:"demo" help:"Service that the targets run."`
	Environment string        `default:"production" help:"Environment that they are in."`
	Batch       int           `default:"2" help:"How many targets to update at a time."`
	Token       string        `env:"ROLLCALL_TOKEN" help:"Bearer token for Rollcall."`
	ReadyWithin time.Duration `default:"60s" help:"How long to wait for Rollcall to be ready."`
	Stay        bool          `help:"Keep serving after the rollout, until interrupted."`
}

func main() {
	var f flags
	kong.Parse(&f, kong.Name("fleet"), kong.Description("Pretend targets for Rollcall, and a rollout over them."))
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, f, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "fleet:", err)
		stop()
		os.Exit(1)
	}
}

// run starts the targets, rolls out when asked to, and serves for as long as it was asked to.
func run(ctx context.Context, f flags, out io.Writer) (err error) {
	targets, err := startTargets(f)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, targets.Close()) }()
	printTargets(out, f, targets)
	if f.Deploy != "" {
		err = rollOut(ctx, f, targets, out)
		if !f.Stay {
			return err
		}
		if err != nil {
			fmt.Fprintln(out, "fleet:", err)
		}
	}
	fmt.Fprintln(out, "serving until interrupted")
	<-ctx.Done()
	return err
}

func startTargets(f flags) (*testtarget.Fleet, error) {
	addrs := make([]string, f.Targets)
	for i := range addrs {
		port := f.Port
		if port != 0 {
			port += i
		}
		addrs[i] = net.JoinHostPort(f.Host, strconv.Itoa(port))
	}
	targets, err := testtarget.Listen(addrs, f.Running)
	if err != nil {
		return nil, err
	}
	for _, t := range targets.Targets {
		t.SetBehaviour(func(b *testtarget.Behaviour) { b.Delay = f.Delay })
	}
	for id, how := range f.Fail {
		if err := setFailure(targets.Target(id), id, how, f.Version); err != nil {
			return nil, errors.Join(err, targets.Close())
		}
	}
	return targets, nil
}

// setFailure has one target fail in the way that the command line named.
func setFailure(t *testtarget.Target, id, how, version string) error {
	if t == nil {
		return fmt.Errorf("--fail %s=%s: there is no such target; they are named web-1, web-2 and so on", id, how)
	}
	status, err := strconv.Atoi(how)
	known := map[string]func(*testtarget.Behaviour){
		"unhealthy": func(b *testtarget.Behaviour) { b.UnhealthyOn = version },
		"hang":      func(b *testtarget.Behaviour) { b.Hang = true },
		"lie":       func(b *testtarget.Behaviour) { b.Lie = true },
		"reset":     func(b *testtarget.Behaviour) { b.Reset = testtarget.ResetBefore },
	}
	change := known[how]
	if err == nil && status >= http.StatusMultipleChoices && status <= 599 {
		change = func(b *testtarget.Behaviour) { b.Status = status }
	}
	if change == nil {
		return fmt.Errorf("--fail %s=%s: a target can be unhealthy, hang, lie, reset, or answer a status from 300 to 599", id, how)
	}
	t.SetBehaviour(change)
	return nil
}

func printTargets(out io.Writer, f flags, targets *testtarget.Fleet) {
	fmt.Fprintf(out, "%d pretend targets run %s:\n", len(targets.Targets), f.Running)
	for _, t := range targets.Targets {
		fmt.Fprintf(out, "  %-7s %s  %s\n", t.ID, t.URL(), f.Fail[t.ID])
	}
}

// Command receiver makes a machine a target of Rollcall: it runs a command for each deploy call and reports the version
// that runs. It implements the rules of docs/reference/webhook-protocol.md and needs nothing but the standard library: use
// it as it is, or as a model.
//
//	receiver -listen :9000 -state /var/lib/receiver.json -secret-file /etc/receiver.key -- /usr/local/bin/deploy-checkout
//
// The command finds ROLLCALL_ACTION (deploy or rollback), ROLLCALL_VERSION, ROLLCALL_PREVIOUS_VERSION, ROLLCALL_SERVICE,
// ROLLCALL_ENVIRONMENT and ROLLCALL_TARGET in its environment. It must succeed when it is repeated.
package main

import (
	"flag"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"time"
)

func main() {
	listen := flag.String("listen", ":9000", "address to listen on")
	state := flag.String("state", "receiver.json", "file that keeps the version, the fence and the last result")
	secret := flag.String("secret-file", "", "file with the key of signed calls (whsec_…); without it signatures are not checked")
	health := flag.String("health", "", "URL of the service that must answer 2xx for it to be healthy")
	running := flag.String("running", "", "version that runs before the first deploy call")
	timeout := flag.Duration("timeout", 30*time.Second, "how long the command may run: the deploy.timeout of the deployment")
	flag.Parse()
	if err := run(*listen, *secret, &receiver{file: *state, health: *health, command: flag.Args(), timeout: *timeout}, *running); err != nil {
		fmt.Fprintln(os.Stderr, "receiver:", err)
		os.Exit(1)
	}
}

func run(listen, secretFile string, r *receiver, running string) error {
	if len(r.command) == 0 {
		return fmt.Errorf("no command is given")
	}
	if err := r.loadRecord(running); err != nil {
		return err
	}
	if secretFile != "" {
		key, err := readKey(secretFile)
		if err != nil {
			return err
		}
		r.key = key
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /deploy", r.serveDeploy)
	mux.HandleFunc("GET /health", r.serveHealth)
	server := &http.Server{Addr: listen, Handler: mux, ReadHeaderTimeout: 10 * time.Second, ErrorLog: slog.NewLogLogger(slog.Default().Handler(), slog.LevelWarn)}
	return server.ListenAndServe()
}

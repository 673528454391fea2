package dbtest

import (
	"context"
	"fmt"
	"time"

	"github.com/testcontainers/testcontainers-go"
	"github.com/testcontainers/testcontainers-go/modules/postgres"
)

// image is the oldest server that is supported.
const image = "postgres:15-alpine"

// dockerProbe is how long Docker may take to say that it is there.
const dockerProbe = 2 * time.Second

// StartContainer starts a server in a container, which its own reaper removes if Stop is never called.
func StartContainer() (*Server, error) {
	ctx := context.Background()
	if err := runDocker(ctx); err != nil {
		return nil, err
	}
	c, err := postgres.Run(ctx, image, postgres.WithUsername("rollcall"), postgres.WithPassword("rollcall"),
		postgres.BasicWaitStrategies(), testcontainers.WithCmdArgs("-c", "fsync=off", "-c", "full_page_writes=off",
			"-c", "synchronous_commit=off", "-c", "max_connections=300"))
	if err != nil {
		return nil, fmt.Errorf("start a container of %s: %w", image, err)
	}
	address, err := c.ConnectionString(ctx, "sslmode=disable")
	if err != nil {
		return nil, fmt.Errorf("find the container's address: %w", err)
	}
	return &Server{URL: address, Origin: "a container of " + image, stop: func() error { return testcontainers.TerminateContainer(c) }}, nil
}

func runDocker(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, dockerProbe)
	defer cancel()
	provider, err := testcontainers.NewDockerProvider()
	if err != nil {
		return fmt.Errorf("find Docker: %w", err)
	}
	if err := provider.Health(ctx); err != nil {
		return fmt.Errorf("ask Docker: %w", err)
	}
	return nil
}

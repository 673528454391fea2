// Package containers tries the image and docker-compose.yml as they are, on a Docker engine: it kills containers, cuts them off the
// network and replaces them while deployments run. Without an engine its tests are skipped.
package containers

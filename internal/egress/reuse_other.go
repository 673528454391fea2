//go:build !linux

package egress

import (
	"context"
	"net"
)

// prepareReuse reports that no connection may carry another request: whether the other side is gone cannot be seen here.
func prepareReuse(context.Context, net.Conn) bool { return false }

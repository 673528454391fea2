package auth

import (
	"net"
	"net/http"
	"net/netip"

	"rollcall/internal/authz"
	"rollcall/internal/problem"
)

// devPrincipal returns the principal of every request while authentication is off. It rejects requests that a page of another
// site makes a browser send: by their origin, or by a host name that such a page can make resolve to this machine.
func devPrincipal(r *http.Request) (authz.Principal, error) {
	if !loopbackHost(r.Host) {
		return authz.Principal{}, &problem.Error{
			Code: problem.CodeForbidden, Message: "authentication is disabled, so this server responds only as localhost, not as " + r.Host,
		}
	}
	if err := http.NewCrossOriginProtection().Check(r); err != nil {
		return authz.Principal{}, &problem.Error{
			Code: problem.CodeForbidden, Message: "authentication is disabled, so this server rejects requests from other sites' pages", Err: err,
		}
	}
	return authz.Principal{Name: "anonymous", Role: authz.RoleAdmin, Scopes: authz.Everywhere(), Anonymous: true}, nil
}

func loopbackHost(hostport string) bool {
	host := hostport
	if name, _, err := net.SplitHostPort(hostport); err == nil {
		host = name
	}
	if len(host) > 1 && host[0] == '[' {
		host = host[1 : len(host)-1]
	}
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}

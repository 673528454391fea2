package auth

import (
	"net"
	"net/http"
	"net/netip"

	"rollcall/internal/authz"
	"rollcall/internal/problem"
)

// anyone is who asks a server that wants no credential. What a page of another site makes a browser send is refused, by
// its origin, or by its host name, which such a page can make point here.
func anyone(r *http.Request) (authz.Principal, error) {
	if !loopbackHost(r.Host) {
		return authz.Principal{}, &problem.Error{
			Code: problem.CodeForbidden, Message: "this server wants no credential and so answers only as localhost, not as " + r.Host,
		}
	}
	if err := http.NewCrossOriginProtection().Check(r); err != nil {
		return authz.Principal{}, &problem.Error{
			Code: problem.CodeForbidden, Message: "this server wants no credential and so takes nothing from other sites' pages", Err: err,
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

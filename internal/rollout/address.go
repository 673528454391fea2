package rollout

import "strings"

// CanonicalAddress returns the one spelling of a base URL by which two are compared: scheme and host in lower case, the port
// always there and without leading zeros, no dot at the end of the host and no slashes at the end of the path (RFC 3986,
// section 6.2). An address without scheme or host stays as it is.
func CanonicalAddress(address string) string {
	scheme, rest, found := strings.Cut(address, "://")
	authority, path := rest, ""
	if i := strings.IndexByte(rest, '/'); i >= 0 {
		authority, path = rest[:i], rest[i:]
	}
	if !found || authority == "" {
		return address
	}
	scheme = strings.ToLower(scheme)
	host, port := authority, ""
	if i := strings.LastIndexByte(authority, ':'); i > strings.LastIndexByte(authority, ']') {
		host, port = authority[:i], strings.TrimLeft(authority[i+1:], "0")
	}
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[scheme]
	}
	return scheme + "://" + strings.TrimSuffix(strings.ToLower(host), ".") + ":" + port + strings.TrimRight(path, "/")
}

// SameAddress reports whether two addresses lead to the same place, regardless of their spelling.
func SameAddress(a, b string) bool { return a == b || CanonicalAddress(a) == CanonicalAddress(b) }

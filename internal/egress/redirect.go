package egress

import (
	"net/http"
	"net/url"
	"strconv"
)

// RedirectAdvice returns a message about a redirect, which is not followed; empty if the response is none. User and query of
// the destination are left out: they may hold credentials.
func RedirectAdvice(requested *url.URL, resp *http.Response) string {
	location := resp.Header.Get("Location")
	if location == "" || resp.StatusCode < 300 || resp.StatusCode > 399 {
		return ""
	}
	said := "HTTP " + strconv.Itoa(resp.StatusCode) + ": "
	to, err := requested.Parse(location)
	if err != nil {
		return said + "it redirects to what is not a URL"
	}
	to.User, to.RawQuery, to.Fragment = nil, "", ""
	return Sanitize(said + "it redirects to " + to.String() + ", and redirects are not followed")
}

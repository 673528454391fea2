package outbound

import (
	"net/http"
	"net/url"
	"strconv"
)

// Redirected says where an answer redirects to, and that nothing follows it; empty when it does not redirect. User and query
// of the place are left out: login pages are sent credentials in them.
func Redirected(asked *url.URL, resp *http.Response) string {
	location := resp.Header.Get("Location")
	if location == "" || resp.StatusCode < 300 || resp.StatusCode > 399 {
		return ""
	}
	said := "HTTP " + strconv.Itoa(resp.StatusCode) + ": "
	to, err := asked.Parse(location)
	if err != nil {
		return said + "it redirects to what is not a URL"
	}
	to.User, to.RawQuery, to.Fragment = nil, "", ""
	return OneLine(said + "it redirects to " + to.String() + ", and redirects are not followed")
}

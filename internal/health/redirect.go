package health

import (
	"net/http"
	"net/url"
	"strconv"
)

// redirected says where an answer redirects to, and that nothing follows it; empty when it does not redirect. The query of
// the place is left out: login pages are sent credentials in it.
func redirected(asked *url.URL, resp *http.Response) string {
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
	return said + "it redirects to " + to.String() + ", and redirects are not followed: set path or url to what answers itself"
}

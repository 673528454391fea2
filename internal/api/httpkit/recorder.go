package httpkit

import (
	"bytes"
	"cmp"
	"net/http"
)

// Recorder is an http.ResponseWriter that keeps the response. The zero value is ready.
type Recorder struct {
	header http.Header
	status int
	body   bytes.Buffer
}

// Header implements http.ResponseWriter.
func (r *Recorder) Header() http.Header {
	if r.header == nil {
		r.header = http.Header{}
	}
	return r.header
}

// WriteHeader implements http.ResponseWriter.
func (r *Recorder) WriteHeader(status int) {
	if r.status == 0 {
		r.status = status
	}
}

// Write implements http.ResponseWriter.
func (r *Recorder) Write(data []byte) (int, error) {
	r.WriteHeader(http.StatusOK)
	return r.body.Write(data) //nolint:wrapcheck // it never fails
}

// Status returns the status of the response, which is 200 unless one was written.
func (r *Recorder) Status() int { return cmp.Or(r.status, http.StatusOK) }

// Body returns the body of the response.
func (r *Recorder) Body() []byte { return r.body.Bytes() }

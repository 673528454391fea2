package rollout

// Response is what a request was answered with, kept so that the request can be repeated.
type Response struct {
	Status int
	// Header has the fields that belong to the response itself, such as Location and ETag.
	Header map[string]string
	Body   []byte
	// Secret says that the body carries one: it is kept sealed, or not at all.
	Secret bool
}

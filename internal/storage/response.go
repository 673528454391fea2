package storage

// Response is the response to a request, kept so that the request can be repeated.
type Response struct {
	Status int
	// Header has the fields that belong to the response itself, such as Location and ETag.
	Header map[string]string
	Body   []byte
	// Secret is true when the body has one: it is kept sealed, or not at all.
	Secret bool
}

package routing

// Preview is what one look at a router shows of a deployment that has not begun. Nothing is written.
type Preview struct {
	// TakeOut is the state of a server that is taken out, "drain" or "maint"; empty when it could not be seen. Why says what
	// led to it; empty when the request did, or nothing particular.
	TakeOut, Why string
	// Refused says why the router, as it is configured, can never do what is asked; empty when it can.
	Refused string
	// Error says why the router could not be looked at.
	Error string
}

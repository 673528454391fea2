package gitopsstore_test

import "rollcall/internal/dbtest/teststore"

const (
	lease = teststore.Lease
)

// Short names for the helpers of every test here.
var (
	open       = teststore.Open
	must       = teststore.Must
	wantCode   = teststore.WantCode
	ctx        = teststore.Context
	request    = teststore.Request
	create     = teststore.Create
	stored     = teststore.Stored
	exec       = teststore.Exec
	atOnce     = teststore.InParallel
	begin      = teststore.Begin
	keyed      = teststore.WithKeys
	administer = teststore.Administer
)

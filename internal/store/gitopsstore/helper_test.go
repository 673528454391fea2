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
	request    = teststore.NewRequest
	create     = teststore.CreateDeployment
	stored     = teststore.ReadDeployment
	exec       = teststore.Exec
	atOnce     = teststore.InParallel
	begin      = teststore.BeginTx
	keyed      = teststore.WithKeys
	administer = teststore.NewAdmin
)

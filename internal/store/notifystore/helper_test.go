package notifystore_test

import "rollcall/internal/dbtest/teststore"

const (
	lease = teststore.Lease
)

// Short names for the helpers of every test here.
var (
	open         = teststore.Open
	must         = teststore.Must
	wantCode     = teststore.WantCode
	ctx          = teststore.Context
	request      = teststore.Request
	create       = teststore.Create
	started      = teststore.Start
	save         = teststore.Save
	finish       = teststore.Finish
	exec         = teststore.Exec
	wantPlan     = teststore.WantPlan
	begin        = teststore.Begin
	await        = teststore.Await
	rows         = teststore.SecretRows
	wantNoSecret = teststore.WantNoSecret
	keyed        = teststore.WithKeys
	administer   = teststore.Administer
)

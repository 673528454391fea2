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
	request      = teststore.NewRequest
	create       = teststore.CreateDeployment
	started      = teststore.StartDeployment
	save         = teststore.SaveStep
	finish       = teststore.FinishDeployment
	exec         = teststore.Exec
	wantPlan     = teststore.WantPlan
	begin        = teststore.BeginTx
	await        = teststore.AwaitCondition
	rows         = teststore.SecretRows
	wantNoSecret = teststore.WantNoSecret
	keyed        = teststore.WithKeys
	administer   = teststore.NewAdmin
)

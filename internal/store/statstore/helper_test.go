package statstore_test

import "rollcall/internal/dbtest/teststore"

// Short names for the helpers of every test here.
var (
	open             = teststore.Open
	openAt           = teststore.OpenAt
	must             = teststore.Must
	wantCode         = teststore.WantCode
	ctx              = teststore.Context
	request          = teststore.NewRequest
	createDeployment = teststore.CreateDeployment
	claimOne         = teststore.ClaimOne
	started          = teststore.StartDeployment
	save             = teststore.SaveStep
	finish           = teststore.FinishDeployment
	exec             = teststore.Exec
	wantPlan         = teststore.WantPlan
	newRole          = teststore.NewRole
	as               = teststore.AsRole
	lived            = teststore.PlayDeployment
	atVersion        = teststore.AtVersion
	administer       = teststore.NewAdmin
	manyEnded        = teststore.ManyEnded
)

package admin_test

import "rollcall/internal/dbtest/teststore"

// Short names for the helpers of every test here.
var (
	open       = teststore.Open
	openAt     = teststore.OpenAt
	must       = teststore.Must
	wantCode   = teststore.WantCode
	ctx        = teststore.Context
	request    = teststore.NewRequest
	create     = teststore.CreateDeployment
	claim      = teststore.ClaimOne
	started    = teststore.StartDeployment
	save       = teststore.SaveStep
	finish     = teststore.FinishDeployment
	events     = teststore.ReadEvents
	exec       = teststore.Exec
	wantPlan   = teststore.WantPlan
	atOnce     = teststore.InParallel
	await      = teststore.AwaitCondition
	newRole    = teststore.NewRole
	as         = teststore.AsRole
	lived      = teststore.PlayDeployment
	atVersion  = teststore.AtVersion
	hold       = teststore.HoldStatement
	administer = teststore.NewAdmin
	manyEnded  = teststore.ManyEnded
	configured = teststore.ApplySettings
)

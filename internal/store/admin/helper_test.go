package admin_test

import "rollcall/internal/dbtest/teststore"

// Short names for the helpers of every test here.
var (
	open       = teststore.Open
	openAt     = teststore.OpenAt
	must       = teststore.Must
	wantCode   = teststore.WantCode
	ctx        = teststore.Context
	request    = teststore.Request
	create     = teststore.Create
	claim      = teststore.Claim
	started    = teststore.Start
	save       = teststore.Save
	finish     = teststore.Finish
	events     = teststore.Events
	exec       = teststore.Exec
	wantPlan   = teststore.WantPlan
	atOnce     = teststore.InParallel
	await      = teststore.Await
	newRole    = teststore.NewRole
	as         = teststore.AsRole
	lived      = teststore.Live
	atVersion  = teststore.AtVersion
	hold       = teststore.Hold
	administer = teststore.Administer
	manyEnded  = teststore.ManyEnded
	configured = teststore.Configure
)

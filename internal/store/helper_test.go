package store_test

import "rollcall/internal/dbtest/teststore"

const (
	lease         = teststore.Lease
	plantedDeploy = teststore.PlantedDeploy
	plantedHeader = teststore.PlantedHeader
	plantedKey    = teststore.PlantedKey
)

// Short names for the helpers of every test here.
var (
	open             = teststore.Open
	openAt           = teststore.OpenAt
	must             = teststore.Must
	wantCode         = teststore.WantCode
	ctx              = teststore.Context
	request          = teststore.Request
	key              = teststore.Key
	createDeployment = teststore.Create
	claimCandidates  = teststore.Claim
	claimed          = teststore.ClaimAll
	started          = teststore.Start
	save             = teststore.Save
	finish           = teststore.Finish
	stored           = teststore.Stored
	events           = teststore.Events
	exec             = teststore.Exec
	wantPlan         = teststore.WantPlan
	atOnce           = teststore.InParallel
	begin            = teststore.Begin
	await            = teststore.Await
	rows             = teststore.SecretRows
	wantNoSecret     = teststore.WantNoSecret
	keyed            = teststore.WithKeys
	newRole          = teststore.NewRole
	as               = teststore.AsRole
	lived            = teststore.Live
	atVersion        = teststore.AtVersion
	hold             = teststore.Hold
	pause            = teststore.Pause
	administer       = teststore.Administer
	manyEnded        = teststore.ManyEnded
	configured       = teststore.Configure
)

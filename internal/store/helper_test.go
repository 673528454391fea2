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
	request          = teststore.NewRequest
	key              = teststore.NewKey
	createDeployment = teststore.CreateDeployment
	claimOne         = teststore.ClaimOne
	claimed          = teststore.ClaimAll
	started          = teststore.StartDeployment
	save             = teststore.SaveStep
	finish           = teststore.FinishDeployment
	stored           = teststore.ReadDeployment
	events           = teststore.ReadEvents
	exec             = teststore.Exec
	wantPlan         = teststore.WantPlan
	atOnce           = teststore.InParallel
	begin            = teststore.BeginTx
	await            = teststore.AwaitCondition
	rows             = teststore.SecretRows
	wantNoSecret     = teststore.WantNoSecret
	keyed            = teststore.WithKeys
	hold             = teststore.HoldStatement
	pause            = teststore.PauseDeployment
	administer       = teststore.NewAdmin
	configured       = teststore.ApplySettings
)

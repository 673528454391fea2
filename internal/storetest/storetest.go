// Package storetest is what the engine and the commands rely on in a store, as tests. Whatever keeps deployments must pass
// them: internal/store does so on a real Postgres, and so does the store in memory that the engine's own tests use, for
// else those would prove nothing.
package storetest

import (
	"context"
	"testing"
	"time"

	"rollcall/internal/rollout"
	"rollcall/internal/storage"
)

// Store is what is tested. Its methods are those of internal/store, and mean what is said there.
type Store interface {
	CreateDeployment(ctx context.Context, request storage.NewDeployment) (storage.Created, error)
	UpdateDeployment(
		ctx context.Context, id string, ifRevision int64,
		change func(d *rollout.Deployment, now time.Time) ([]rollout.Event, error),
	) (rollout.Deployment, error)
	Heartbeat(ctx context.Context, replica string, lease time.Duration) (time.Time, error)
	ReleaseDeployments(ctx context.Context, replica string) error
	ClaimDeployments(ctx context.Context, replica string, mine []string, limit int) ([]storage.Claimed, time.Time, error)
	SaveDeployment(ctx context.Context, save storage.SaveRequest) (storage.SaveResult, error)
	Deployment(ctx context.Context, id string) (rollout.Deployment, error)
	Targets(ctx context.Context, id string, page storage.Page) (storage.List[rollout.Target], error)
	Events(ctx context.Context, id string, page storage.Page) (storage.List[rollout.Event], error)
	TargetRecords(ctx context.Context, service, environment string) (map[string]storage.TargetRecord, error)
	OperatorRevisions(ctx context.Context, replica string) (map[string]int64, error)
	Listener
}

// rule is one promise, tested on a store that is empty.
type rule struct {
	name string
	test func(t *testing.T, s Store)
}

// Run tests every rule, each on a store of its own.
func Run(t *testing.T, open func(t *testing.T) Store) {
	t.Helper()
	for _, r := range allRules() {
		t.Run(r.name, func(t *testing.T) {
			t.Parallel()
			r.test(t, open(t))
		})
	}
}

func allRules() []rule {
	return []rule{
		{"ACreatedDeploymentIsReadBackAsItWasAsked", aCreatedDeploymentIsReadBackAsItWasAsked},
		{"OnlyTheNewestWaits", onlyTheNewestWaits},
		{"ManyCreationsAtOnceLeaveOneWaiting", manyCreationsAtOnceLeaveOneWaiting},
		{"FiftyCreatorsAtOnceNeverMakeTwoActive", fiftyCreatorsAtOnceNeverMakeTwoActive},
		{"ASupersededDeploymentIsLostToItsOwner", aSupersededDeploymentIsLostToItsOwner},
		{"ARejectedRequestHasNoEffect", aRejectedRequestHasNoEffect},

		{"FiftyAtOnceForOneDeploymentAndOneClaimsIt", fiftyAtOnceForOneDeploymentAndOneClaimsIt},
		{"FiftyAtOnceTakeADeadReplicasDeploymentOverOnce", fiftyAtOnceTakeADeadReplicasDeploymentOverOnce},
		{"AtOnceEachDeploymentIsClaimedByOne", atOnceEachDeploymentIsClaimedByOne},
		{"AClaimGivesTheWholeSnapshotInTheOrderOfTheWaves", aClaimGivesTheWholeSnapshotInTheOrderOfTheWaves},
		{"AClaimKnowsWhatIsRememberedOfTargets", aClaimKnowsWhatIsRememberedOfTargets},
		{"AClaimKnowsTheRoutersFenceAndTheSlotThatServes", aClaimKnowsTheRoutersFenceAndTheSlotThatServes},
		{"ARememberedFenceNeverFalls", aRememberedFenceNeverFalls},
		{"AnotherAddressIsAnotherMachine", anotherAddressIsAnotherMachine},
		{"FencesRiseAtOneAddress", fencesRiseAtOneAddress},
		{"AClaimKnowsWhatWorkMayStillRunAtAnAddress", aClaimKnowsWhatWorkMayStillRunAtAnAddress},
		{"AClaimKnowsHowATargetWasVerified", aClaimKnowsHowATargetWasVerified},
		{"ADeadReplicasDeploymentsAreTakenOverAndALivingOnesAreNot", aDeadReplicasDeploymentsAreTakenOverAndALivingOnesAreNot},
		{"AReplicaTakesWhatAProcessOfItsNameOwnedAndKeepsWhatItWorksOn", aReplicaTakesWhatAProcessOfItsNameOwnedAndKeepsWhatItWorksOn},
		{"WhatALeavingReplicaOwnedIsFreeAtOnceWithoutATakeover", whatALeavingReplicaOwnedIsFreeAtOnceWithoutATakeover},
		{"WhatALeavingReplicaHadNotLookedAfterIsLate", whatALeavingReplicaHadNotLookedAfterIsLate},
		{"AWaitingDeploymentIsClaimedOnlyWhenTheActiveOneHasEnded", aWaitingDeploymentIsClaimedOnlyWhenTheActiveOneHasEnded},
		{"WhatHasBegunIsClaimedBeforeWhatWaits", whatHasBegunIsClaimedBeforeWhatWaits},
		{"AClaimSaysHowLateItIs", aClaimSaysHowLateItIs},
		{"AClaimSaysWhenTheNextOneIsDue", aClaimSaysWhenTheNextOneIsDue},

		{"ASavedTargetIsLoadedAsItWas", aSavedTargetIsLoadedAsItWas},
		{"TargetsInFlightAreReadAndLoadedAsTheyWereSaved", targetsInFlightAreReadAndLoadedAsTheyWereSaved},
		{"TargetsInFlightGiveWayToThoseOfTheNextSave", targetsInFlightGiveWayToThoseOfTheNextSave},
		{"ASavedDeploymentIsLoadedAsItWas", aSavedDeploymentIsLoadedAsItWas},
		{"WhatOnlyTheOwnerKnowsIsNotStored", whatOnlyTheOwnerKnowsIsNotStored},
		{"ARepeatedSaveChangesNothingAndAnswersTheSame", aRepeatedSaveChangesNothingAndAnswersTheSame},
		{"OnlyTheOwnerInItsEpochSaves", onlyTheOwnerInItsEpochSaves},
		{"ASavePlannedBeforeACommandIsStale", aSavePlannedBeforeACommandIsStale},
		{"TheRevisionGrowsOnlyWithWhatTheAPIShows", theRevisionGrowsOnlyWithWhatTheAPIShows},
		{"AFinishedDeploymentIsFinal", aFinishedDeploymentIsFinal},
		{"TheEventsOfAnEngineSayWhoWroteThem", theEventsOfAnEngineSayWhoWroteThem},
		{"EventsOfAllWritersAreNumberedWithoutGaps", eventsOfAllWritersAreNumberedWithoutGaps},
		{"EventsOfAllWritersAreAChain", eventsOfAllWritersAreAChain},
		{"AnEventOfASaveHasATime", anEventOfASaveHasATime},

		{"ACommandIsWrittenAndARepeatedOneIsNot", aCommandIsWrittenAndARepeatedOneIsNot},
		{"ARefusedCommandHasNoEffect", aRefusedCommandHasNoEffect},
		{"OfSeveralCommandsAtOneRevisionOneWins", ofSeveralCommandsAtOneRevisionOneWins},
		{"ACommandMayEndADeploymentThatHasNotBegun", aCommandMayEndADeploymentThatHasNotBegun},
		{"TheEndOfADeploymentWakesTheNext", theEndOfADeploymentWakesTheNext},
		{"WhatIsNotThereIsNotFound", whatIsNotThereIsNotFound},

		{"ACommandATakeoverAndALeaveAreAnnounced", aCommandATakeoverAndALeaveAreAnnounced},
		{"ProgressWakesNoEngine", progressWakesNoEngine},
	}
}

package store

import "context"

// ForgettableSQL is forgettableSQL.
func ForgettableSQL() string { return forgettableSQL() }

// SaveSQL is saveSQL.
const SaveSQL = saveSQL

// DeliveryGaugesSQL is deliveryGaugesSQL.
const DeliveryGaugesSQL = deliveryGaugesSQL

// AtOnce is atOnce.
const AtOnce = atOnce

// MigrateTrying is Migrate that gives up after so many tries.
func (s *Store) MigrateTrying(ctx context.Context, tries int) error { return s.migrate(ctx, tries) }

// MaxJudged is maxJudged.
const MaxJudged = maxJudged

// LatestSQL is latestSQL.
const LatestSQL = latestSQL

// DurationsSQL is durationsSQL.
func DurationsSQL() string { return durationsSQL() }

// JudgeServer is judgeServer.
func JudgeServer(facts ...string) ([]string, error) { return judgeServer(facts) }

// TalliesSQL is talliesSQL of all deployments.
func TalliesSQL() string { return talliesSQL("") }

// ServiceTalliesSQL is serviceTalliesSQL of all deployments.
func ServiceTalliesSQL() string { return serviceTalliesSQL("") }

// DurationDaysSQL is durationDaysSQL of all deployments since $1.
func DurationDaysSQL() string { return durationDaysSQL("", 1) }

// DoraDaysSQL is doraDaysSQL of all deployments between $1 and $2.
func DoraDaysSQL() string { return doraDaysSQL("WHERE true", 0) }

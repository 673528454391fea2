package store

// SaveSQL is saveSQL.
const SaveSQL = saveSQL

// MaxJudged is maxJudged.
const MaxJudged = maxJudged

// LatestSQL is latestSQL.
const LatestSQL = latestSQL

// DurationsSQL is durationsSQL.
func DurationsSQL() string { return durationsSQL() }

// TalliesSQL is talliesSQL of all deployments.
func TalliesSQL() string { return talliesSQL("") }

// ServiceTalliesSQL is serviceTalliesSQL of all deployments.
func ServiceTalliesSQL() string { return serviceTalliesSQL("") }

// DurationDaysSQL is durationDaysSQL of all deployments since $1.
func DurationDaysSQL() string { return durationDaysSQL("", 1) }

// DoraDaysSQL is doraDaysSQL of all deployments between $1 and $2.
func DoraDaysSQL() string { return doraDaysSQL("WHERE true", 0) }

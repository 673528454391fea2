package statstore

// MaxJudged is maxJudged.
const MaxJudged = maxJudged

// DurationsSQL is durationsSQL.
func DurationsSQL() string { return durationsSQL() }

// StateCountsSQL is stateCountsSQL of all deployments.
func StateCountsSQL() string { return stateCountsSQL("") }

// ServiceCountsSQL is serviceCountsSQL of all deployments.
func ServiceCountsSQL() string { return serviceCountsSQL("") }

// DurationDaysSQL is durationDaysSQL of all deployments since $1.
func DurationDaysSQL() string { return durationDaysSQL("", 1) }

// DoraDaysSQL is doraDaysSQL of all deployments between $1 and $2.
func DoraDaysSQL() string { return doraDaysSQL("WHERE true", 0) }

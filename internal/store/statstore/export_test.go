package statstore

// MaxJudged is maxJudged.
const MaxJudged = maxJudged

// DurationsSQL is durationsSQL.
func DurationsSQL() string { return durationsSQL() }

// StateCountsSQL is stateCountsSQL of all deployments.
func StateCountsSQL(complete bool) string { return stateCountsSQL(countedSQL("", complete)) }

// ServiceCountsSQL is serviceCountsSQL of all deployments.
func ServiceCountsSQL(complete bool) string { return serviceCountsSQL(countedSQL("", complete)) }

// DurationDaysSQL is durationDaysSQL of all deployments since $1.
func DurationDaysSQL() string { return durationDaysSQL("", 1) }

// DoraDaysSQL is doraDaysSQL of all deployments between $1 and $2.
func DoraDaysSQL() string { return doraDaysSQL("WHERE true", 0) }

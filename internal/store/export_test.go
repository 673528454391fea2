package store

// SaveSQL is saveSQL.
const SaveSQL = saveSQL

// LatestSQL is latestSQL.
const LatestSQL = latestSQL

// NewRestingSQL is newRestingSQL.
const NewRestingSQL = newRestingSQL

// ClaimRestingSQL is claimRestingSQL.
const ClaimRestingSQL = claimRestingSQL

package store

// SaveSQL is saveSQL.
const SaveSQL = saveSQL

// LatestSQL is latestSQL.
const LatestSQL = latestSQL

// NewRestingSQL is newRestingSQL.
const NewRestingSQL = newRestingSQL

// ClaimRestingSQL is claimRestingSQL.
const ClaimRestingSQL = claimRestingSQL

// BegunSQL is begunSQL.
const BegunSQL = begunSQL

// WaitingSQL is waitingSQL.
const WaitingSQL = waitingSQL

// OwnedSQL is ownedSQL.
const OwnedSQL = ownedSQL

// NextSQL is nextSQL.
const NextSQL = nextSQL

// DeferSQL is deferSQL.
const DeferSQL = deferSQL

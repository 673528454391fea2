package store

// SaveSQL is saveSQL.
const SaveSQL = saveSQL

// LatestSQL is latestSQL.
const LatestSQL = latestSQL

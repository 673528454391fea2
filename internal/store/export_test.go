package store

// ForgettableSQL is forgettableSQL.
func ForgettableSQL() string { return forgettableSQL() }

// SaveSQL is saveSQL.
const SaveSQL = saveSQL

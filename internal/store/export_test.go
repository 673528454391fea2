package store

// ForgettableSQL is forgettableSQL.
func ForgettableSQL() string { return forgettableSQL() }

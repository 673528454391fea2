package store

// ForgettableSQL is forgettableSQL.
func ForgettableSQL() string { return forgettableSQL() }

// SaveSQL is saveSQL.
const SaveSQL = saveSQL

// DeliveryGaugesSQL is deliveryGaugesSQL.
const DeliveryGaugesSQL = deliveryGaugesSQL

// AtOnce is atOnce.
const AtOnce = atOnce

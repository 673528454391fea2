package notifystore

// DeliveryGaugesSQL is deliveryGaugesSQL.
const DeliveryGaugesSQL = deliveryGaugesSQL

// MaxRows is maxRows.
const MaxRows = maxRows

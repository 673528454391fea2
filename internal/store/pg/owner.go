package pg

// OwnerDead is the SQL condition that a row d has an owner whose owner's lease has expired, or never began.
const OwnerDead = `(d.owner IS NOT NULL AND NOT EXISTS (
	SELECT FROM replicas r WHERE r.id = d.owner AND r.expires_at > clock_timestamp()))`

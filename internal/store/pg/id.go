package pg

import (
	"github.com/google/uuid"
)

// ValidID reports whether id is a UUID in the one spelling that is accepted.
func ValidID(id string) bool {
	parsed, err := uuid.Parse(id)
	return err == nil && parsed.String() == id
}

package admin

import "context"

// ExpiredSQL is expiredSQL.
func ExpiredSQL() string { return expiredSQL() }

// MigrateTrying is Migrate that gives up after so many tries.
func (a *Admin) MigrateTrying(ctx context.Context, tries int) error { return a.tryMigrate(ctx, tries) }

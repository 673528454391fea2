package store

import (
	"context"
	"log/slog"
	"sync/atomic"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"rollcall/internal/keyring"
	"rollcall/internal/store/gitopsstore"
	"rollcall/internal/store/notifystore"
	"rollcall/internal/store/pg"
	"rollcall/internal/store/sealing"
	"rollcall/internal/store/statstore"
	"rollcall/internal/store/tokenstore"
)

// Store is the database. Its methods may be called from any goroutine; they return CodeUnavailable
// when the database cannot be reached or does not answer in time.
type Store struct {
	db     *pg.DB
	sealer sealing.Sealer
	// compact allows what storageFormat says: every replica with a lease can read it.
	compact atomic.Bool
	*sourceStore
	*notificationStore
	*tokenStore
	*statStore
}

// The stores of other things, whose methods are those of Store, too.
type (
	sourceStore       = gitopsstore.Store
	notificationStore = notifystore.Store
	tokenStore        = tokenstore.Store
	statStore         = statstore.Store
)

// Option changes how a Store is opened.
type Option func(*settings)

type settings struct {
	sealer sealing.Sealer
	log    *slog.Logger
}

// SealedBy lets the store keep secrets, sealed by the keyring. Without it what carries a secret is CodeInvalid.
func SealedBy(box *keyring.Keyring) Option { return func(s *settings) { s.sealer.Box = box } }

// LogTo makes the store log to a logger other than slog.Default().
func LogTo(log *slog.Logger) Option { return func(s *settings) { s.log = log } }

// Open prepares a pool of connections to a PostgreSQL URL or DSN. It connects only when first used, so an error means that
// the URL itself is wrong.
func Open(ctx context.Context, databaseURL string, options ...Option) (*Store, error) {
	o := settings{log: slog.Default()}
	for _, option := range options {
		option(&o)
	}
	db, err := pg.Open(ctx, databaseURL, o.log)
	if err != nil {
		return nil, err
	}
	return newStore(db, o.sealer), nil
}

func newStore(db *pg.DB, sealer sealing.Sealer) *Store {
	return &Store{
		db: db, sealer: sealer,
		sourceStore: gitopsstore.New(db, sealer), notificationStore: notifystore.New(db, sealer), tokenStore: tokenstore.New(db),
		statStore: statstore.New(db),
	}
}

// WithOwnPool returns the same database over connections of its own, whose users never wait for those of s. A notification
// that one of the two receives reaches the subscribers of both. Each is closed by itself.
func (s *Store) WithOwnPool(ctx context.Context) (*Store, error) {
	db, err := s.db.WithOwnPool(ctx)
	if err != nil {
		return nil, err
	}
	return newStore(db, s.sealer), nil
}

// Close returns all connections, and waits for the queries that still run.
func (s *Store) Close() { s.db.Close() }

// Pool returns the pool of connections, for its figures.
func (s *Store) Pool() *pgxpool.Pool { return s.db.Pool() }

// DB returns the database.
func (s *Store) DB() *pg.DB { return s.db }

// Sealer returns what secrets are sealed with.
func (s *Store) Sealer() sealing.Sealer { return s.sealer }

// Ping reports whether the database answers and can be written to; if not, the error says why.
func (s *Store) Ping(ctx context.Context) error { return s.db.Ping(ctx) }

// CheckServer reports whether a server can work with the database: that it can be written to, keeps text as UTF-8, and gives
// each connection a session of its own. The error says what to do. warnings are about what is not tested and may work. It
// changes nothing, and needs no schema.
func (s *Store) CheckServer(ctx context.Context) (warnings []string, err error) {
	return s.db.CheckServer(ctx)
}

// Listen waits for changes until ctx ends, and then returns nil; see pg.DB.Listen. For each change that an engine should look
// at it calls wake with the deployment's id, and with "" after (re)connecting: anything may have changed meanwhile. wake must
// not block.
func (s *Store) Listen(ctx context.Context, wake func(deploymentID string)) error {
	return s.db.Listen(ctx, wake)
}

// SubscribeChanges returns a channel that gets a value after each announced change of the deployment; see pg.DB.Subscribe.
// With an empty id it hears of every deployment.
func (s *Store) SubscribeChanges(id string) (<-chan struct{}, func()) { return s.db.Subscribe(id) }

// inTx runs do in a transaction, and again when it lost a race against another one.
func (s *Store) inTx(ctx context.Context, do func(tx pgx.Tx) error) error {
	return s.db.InTx(ctx, do, lostQueueRace) //nolint:wrapcheck // the caller names the operation
}

// lostQueueRace reports whether another deployment of the same service and environment has come to wait meanwhile.
func lostQueueRace(err error) bool { return pg.ViolatesIndex(err, oneWaiting) }

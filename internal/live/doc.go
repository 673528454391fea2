// Package live lets any number of readers watch deployments while they change, for the price of one.
//
// A feed is what all who watch the same thing share: one deployment, or all of them. As long as somebody watches, one
// goroutine reads what is new, from the database and soon after it was committed, encodes it once and keeps the newest of
// it. Three rules hold:
//
//   - A watcher has a place and nothing else: no queue, no goroutine, no memory that grows while it is slow. Who falls
//     behind what the feed keeps reads the database until he has caught up.
//   - Events come in the order of their numbers, each once and none left out, whichever replica they are read from.
//   - A deployment's present state follows the events that led to it. A state is not history: of several that wait for a
//     watcher only the newest is given to him.
package live

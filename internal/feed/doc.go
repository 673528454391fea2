// Package feed streams the events of deployments to any number of subscribers, at the cost of one reader.
//
// A feed covers one deployment, or all of them, and is shared by its subscribers. While there are any, one goroutine reads
// new events from the database soon after their commit, encodes them once and keeps the newest. Three rules hold:
//
//   - A subscription has a position and nothing else: no queue, no goroutine, no memory that grows while it is slow. One
//     that is behind the feed's buffer reads the database until it has caught up.
//   - Events come in the order of their numbers, each once and none left out, at every replica.
//   - A deployment's current state follows the events that led to it. Of several pending states a subscription gets only
//     the newest.
package feed

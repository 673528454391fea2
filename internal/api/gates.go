package api

import (
	"sync"
	"time"
)

// togetherFor is how long after the first of them promotes still mean its gate.
const togetherFor = time.Second

// gates tells promotes that name no gate which one they mean. Those that are under way together mean the same: a later one
// may come to look only when the first has opened that gate and the deployment stands at the next. The zero value is ready.
type gates struct {
	mu     sync.Mutex
	crowds map[string]*crowd
}

// crowd is the promotes of one deployment that are under way.
type crowd struct {
	size int // guarded by the mutex of gates

	mu     sync.Mutex
	gate   int
	seenAt time.Time
}

// stood is the gate at which the deployment stands for this promote. answered must be called when it has its answer, also
// after an error.
func (g *gates) stood(id string, look func() (int, error)) (gate int, answered func(), err error) {
	c := g.join(id)
	answered = func() { g.leave(id, c) }
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.gate > 0 && time.Since(c.seenAt) < togetherFor {
		return c.gate, answered, nil
	}
	gate, err = look()
	c.gate, c.seenAt = gate, time.Now()
	return gate, answered, err
}

func (g *gates) join(id string) *crowd {
	g.mu.Lock()
	defer g.mu.Unlock()
	c, gathered := g.crowds[id]
	if !gathered {
		if g.crowds == nil {
			g.crowds = map[string]*crowd{}
		}
		c = &crowd{}
		g.crowds[id] = c
	}
	c.size++
	return c
}

func (g *gates) leave(id string, c *crowd) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if c.size--; c.size == 0 {
		delete(g.crowds, id)
	}
}

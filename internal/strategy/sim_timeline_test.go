package strategy_test

import (
	"container/heap"
	"time"
)

// item is something that will happen.
type item struct {
	at  time.Time
	seq int
	do  func()
}

type timeline struct {
	items []item
	seq   int
}

func (t *timeline) Len() int { return len(t.items) }

func (t *timeline) Less(i, j int) bool {
	a, b := t.items[i], t.items[j]
	return a.at.Before(b.at) || a.at.Equal(b.at) && a.seq < b.seq
}

func (t *timeline) Swap(i, j int) { t.items[i], t.items[j] = t.items[j], t.items[i] }

func (t *timeline) Push(x any) {
	if it, ok := x.(item); ok {
		t.items = append(t.items, it)
	}
}

func (t *timeline) Pop() any {
	last := t.items[len(t.items)-1]
	t.items = t.items[:len(t.items)-1]
	return last
}

// next takes away what happens first.
func (t *timeline) next() item {
	it, _ := heap.Pop(t).(item) // nothing else is ever pushed
	return it
}

func (s *sim) at(at time.Time, do func()) {
	s.queue.seq++
	heap.Push(&s.queue, item{at, s.queue.seq, do})
}

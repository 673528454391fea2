package testtarget

import "sync/atomic"

// Moment is a point in the life of a call.
type Moment int

// Received is when the whole call has come in, Replied when its answer has been handed to the network.
const (
	Received Moment = iota + 1
	Replied
)

// watcher is notified of calls; the zero value notifies nothing.
type watcher struct {
	watch atomic.Pointer[func(moment Moment, from string)]
}

// Watch calls watch at each moment of every call of the fleet, with the address of the connection that it came on. The call
// continues when watch returns. There is one watcher; nil ends it.
func (f *Fleet) Watch(watch func(moment Moment, from string)) {
	if watch == nil {
		f.journal.watch.Store(nil)
		return
	}
	f.journal.watch.Store(&watch)
}

func (w *watcher) notifyWatcher(moment Moment, from string) {
	if watch := w.watch.Load(); watch != nil {
		(*watch)(moment, from)
	}
}

package minerva

import (
	"context"
	"sync"
)

// notify wakes all goroutines that wait now. Guarded by the lock of the owner.
type notify struct{ waiters chan struct{} }

func (n *notify) wait() <-chan struct{} {
	if n.waiters == nil {
		n.waiters = make(chan struct{})
	}
	return n.waiters
}

func (n *notify) notify() {
	if n.waiters != nil {
		close(n.waiters)
		n.waiters = nil
	}
}

// wakeOne wakes the one receiver of a channel with a capacity of 1, now or at the next receive.
func wakeOne(wake chan<- struct{}) {
	select {
	case wake <- struct{}{}:
	default:
	}
}

// coreLocks permit one call per core: a second call of the same instance would end the first, and each would end the other in
// turn. A core is identified by the id in Registered. Before that, and if the core sends no id, the configured address is the
// key, so the socket addresses of one host name are called one after the other.
type coreLocks struct {
	mutex    sync.Mutex
	held     map[string]*coreLock
	released notify
}

// coreLock is the exclusive right to call one core.
type coreLock struct {
	locks *coreLocks
	core  string
	// Closed once another call has registered with the same core.
	superseded chan struct{}
}

// lock waits until no call holds this core, and locks it.
func (l *coreLocks) lock(ctx context.Context, core string) (*coreLock, error) {
	for {
		l.mutex.Lock()
		if l.held[core] == nil {
			lock := &coreLock{locks: l, core: core, superseded: make(chan struct{})}
			l.held[core] = lock
			l.mutex.Unlock()
			return lock, nil
		}
		released := l.released.wait()
		l.mutex.Unlock()
		select {
		case <-released:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// rekey moves the lock to the id that the core has sent. An earlier call to the same core is superseded: the core has ended
// that call.
func (l *coreLock) rekey(core string) {
	l.locks.mutex.Lock()
	defer l.locks.mutex.Unlock()
	if core == l.core {
		return
	}
	l.free()
	before := l.locks.held[core]
	l.core = core
	l.locks.held[core] = l
	if before != nil {
		close(before.superseded)
	}
}

func (l *coreLock) release() {
	l.locks.mutex.Lock()
	defer l.locks.mutex.Unlock()
	l.free()
}

func (l *coreLock) free() {
	if l.locks.held[l.core] == l {
		delete(l.locks.held, l.core)
	}
	l.locks.released.notify()
}

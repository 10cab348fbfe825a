package minerva

import (
	"context"
	"errors"
	"slices"
	"sync"

	"minerva.dev/minerva/internal/appv1"
	"minerva.dev/minerva/internal/session"
)

// phase is the life of a service.
type phase int

const (
	running phase = iota
	// draining is a stop: no new streams and no reads; queued messages are flushed.
	draining
	// stopped is the end of all goroutines, once everything is flushed, or at the deadline.
	stopped
)

// cell is the state of one stream outside of the session, used by the handle of the stream.
type cell struct {
	number, assignment uint64
	started            *appv1.Started
	// Wakes the one reader.
	readable chan struct{}
	// Wakes all senders that wait for room or confirmation.
	writable notify
	// Set once the stream has ended.
	ended *Ended
	// Closed once the stream has ended or is released.
	over chan struct{}
}

func (c *cell) wake() {
	wakeOne(c.readable)
	c.writable.notify()
}

// instance is the state shared by the goroutines and the handles of a service: the session and the wake-ups.
type instance struct {
	mutex   sync.Mutex
	session *session.Session
	phase   phase
	// Wakes the waiters for streams.
	changed notify
	// Wakes the goroutine of each call: commands are ready, or the phase has changed.
	calls map[session.CallID]chan struct{}
	// The streams that have neither ended nor been released.
	cells map[uint64]*cell
	// Streams not accepted yet. The core bounds their number; the window bounds their size.
	arrived []*cell
	// Streams held by handlers.
	accepted int
	// Done once a stop has begun.
	stopping     context.Context
	markStopping context.CancelFunc
	// Done once a stop has begun and all work of the handlers was flushed; stays done.
	drained     context.Context
	markDrained context.CancelFunc
	// Done once the service is stopped.
	stopped     context.Context
	markStopped context.CancelFunc
}

func newInstance(window int) *instance {
	created := &instance{
		session: session.New(window), calls: map[session.CallID]chan struct{}{}, cells: map[uint64]*cell{},
	}
	created.stopping, created.markStopping = context.WithCancel(context.Background())
	created.drained, created.markDrained = context.WithCancel(context.Background())
	created.stopped, created.markStopped = context.WithCancel(context.Background())
	return created
}

// advance goes on to a phase, unless a later one is reached.
func (i *instance) advance(to phase) {
	i.mutex.Lock()
	defer i.mutex.Unlock()
	i.phase = max(i.phase, to)
	for _, cell := range i.cells {
		cell.wake()
	}
	i.wakeCalls()
	if i.phase != running {
		i.markStopping()
	}
	if i.phase == stopped {
		i.markStopped()
	}
}

// isRunning returns whether no stop has begun.
func (i *instance) isRunning() bool { return i.stopping.Err() == nil }

// accept waits for a stream to accept. It returns ErrStopped after a stop.
func (i *instance) accept(ctx context.Context) (*cell, error) {
	for {
		i.mutex.Lock()
		if i.phase != running {
			i.mutex.Unlock()
			return nil, ErrStopped
		}
		if len(i.arrived) > 0 {
			cell := i.arrived[0]
			i.arrived = i.arrived[1:]
			i.accepted++
			i.mutex.Unlock()
			return cell, nil
		}
		changed := i.changed.wait()
		i.mutex.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// isDrained returns whether a stop has begun and all work of the handlers was flushed. Stays true: the end of a call detaches
// its streams. The caller has the lock.
func (i *instance) isDrained() bool {
	if i.phase != running && i.accepted == 0 && i.drained.Err() == nil && i.session.IsFlushed() {
		i.markDrained()
	}
	return i.drained.Err() != nil
}

// wakeCalls wakes all calls during a stop, because an event of one call may complete the drain of all.
func (i *instance) wakeCalls() {
	if i.phase != running {
		for _, wake := range i.calls {
			wakeOne(wake)
		}
		i.isDrained()
	}
	i.changed.notify()
}

// The calls.

// beginCall begins a call. It returns the held streams for the registration, and the channel that wakes the call.
func (i *instance) beginCall() (session.CallID, []uint64, []*appv1.Held, chan struct{}) {
	i.mutex.Lock()
	defer i.mutex.Unlock()
	id, numbers := i.session.Begin()
	wake := make(chan struct{}, 1)
	i.calls[id] = wake
	return id, numbers, i.session.Held(numbers), wake
}

func (i *instance) endCall(id session.CallID) {
	i.mutex.Lock()
	defer i.mutex.Unlock()
	i.session.End(id)
	delete(i.calls, id)
	i.wakeUnsettled()
	i.wakeCalls()
}

// onResponse applies the events of a core.
func (i *instance) onResponse(id session.CallID, response *appv1.ServeResponse) error {
	i.mutex.Lock()
	defer i.mutex.Unlock()
	var err error
	for _, event := range response.GetEvents() {
		if err = i.session.OnEvent(id, event); err != nil {
			break
		}
	}
	for _, signal := range i.session.TakeSignals() {
		i.onSignal(signal)
	}
	i.wakeUnsettled()
	if i.phase != running {
		i.wakeCalls()
	}
	if wake := i.calls[id]; wake != nil {
		wakeOne(wake)
	}
	return err
}

// nextCommands returns the commands for a call. isUnsettled: the call must be ended. isDrained: no more commands follow.
func (i *instance) nextCommands(id session.CallID) (commands []*appv1.Command, isUnsettled, isDrained bool) {
	i.mutex.Lock()
	defer i.mutex.Unlock()
	if i.isDrained() {
		return nil, false, true
	}
	if slices.Contains(i.session.Unsettled(), id) {
		return nil, true, false
	}
	return i.session.TakeCommands(id, requestBytes), false, false
}

func (i *instance) wakeUnsettled() {
	for _, id := range i.session.Unsettled() {
		if wake := i.calls[id]; wake != nil {
			wakeOne(wake)
		}
	}
}

func (i *instance) onSignal(signal session.Signal) {
	if signal.Kind == session.Arrived {
		created := &cell{
			number: signal.Stream, assignment: signal.Assignment, started: signal.Started,
			readable: make(chan struct{}, 1), over: make(chan struct{}),
		}
		i.cells[signal.Stream] = created
		i.arrived = append(i.arrived, created)
		i.changed.notify()
		return
	}
	found := i.cells[signal.Stream]
	if found == nil {
		return
	}
	switch signal.Kind {
	case session.Readable:
		wakeOne(found.readable)
	case session.Writable:
		found.writable.notify()
	case session.Over:
		ended := endedOf(signal.Ended)
		found.ended = &ended
		i.remove(found)
	case session.Released:
		i.arrived = slices.DeleteFunc(i.arrived, func(other *cell) bool { return other == found })
		i.remove(found)
	}
}

func (i *instance) remove(over *cell) {
	delete(i.cells, over.number)
	close(over.over)
	over.wake()
}

// The handles.

// holds returns whether the session still holds the stream under the assignment of this handle. A stream that was at another
// instance meanwhile has a new handle, and the old one must not take its events.
func (i *instance) holds(cell *cell) bool {
	return i.session.AssignmentOf(cell.number) == cell.assignment
}

// read waits for the next event of a stream. The end of the context loses none.
func (i *instance) read(ctx context.Context, cell *cell) (Event, error) {
	for {
		event, isReleased := i.tryRead(cell)
		if isReleased {
			return Released{}, nil
		}
		if event != nil {
			return eventOf(event), nil
		}
		select {
		case <-cell.readable:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func (i *instance) tryRead(cell *cell) (event session.Event, isReleased bool) {
	i.mutex.Lock()
	defer i.mutex.Unlock()
	if i.phase != running || !i.holds(cell) {
		return nil, true
	}
	event, err := i.session.Read(cell.number)
	return event, err != nil
}

// change applies an input of a handler, and wakes the call that carries the commands. The caller has the lock.
func (i *instance) change(cell *cell, change func(*session.Stream) error) error {
	if i.phase == stopped || !i.holds(cell) {
		return ErrStreamOver
	}
	err := i.session.Change(cell.number, change)
	if id, hasCommands := i.session.CallOf(cell.number); hasCommands && i.calls[id] != nil {
		wakeOne(i.calls[id])
	}
	return err
}

// tryChange applies a change, without effect on a stream that this instance no longer holds.
func (i *instance) tryChange(cell *cell, change func(*session.Stream)) {
	i.mutex.Lock()
	defer i.mutex.Unlock()
	err := i.change(cell, func(stream *session.Stream) error {
		change(stream)
		return nil
	})
	if err == nil {
		// Waiting senders must check again: the stream may be over for them.
		cell.writable.notify()
	}
}

// wait repeats attempt under the lock until there is room, or the change or message is confirmed.
func (i *instance) wait(ctx context.Context, cell *cell, attempt func() error) error {
	for {
		writable, err := i.attempt(cell, attempt)
		if !errors.Is(err, session.ErrNoRoom) {
			return err
		}
		select {
		case <-writable:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// attempt runs attempt under the lock. With ErrNoRoom it also returns the channel that is closed when to try again.
func (i *instance) attempt(cell *cell, attempt func() error) (<-chan struct{}, error) {
	i.mutex.Lock()
	defer i.mutex.Unlock()
	if i.phase == stopped || !i.holds(cell) {
		return nil, ErrStreamOver
	}
	err := attempt()
	if errors.Is(err, session.ErrNoRoom) {
		return cell.writable.wait(), err
	}
	return nil, err
}

// onReaderClosed records that a handler no longer reads its stream.
func (i *instance) onReaderClosed() {
	i.mutex.Lock()
	defer i.mutex.Unlock()
	i.accepted--
	i.wakeCalls()
}

// Package session is the state machine of one instance: events of the cores and calls of the handlers go in, commands for
// the cores and signals for the handlers come out. It has no clock, no I/O, no locks and no goroutines, and does the same for
// the same inputs. sdk/vectors holds it to the machines of the other SDKs.
package session

import (
	"maps"
	"slices"

	"minerva.dev/minerva/internal/appv1"
)

const (
	// maxHeld bounds the streams of which a registration reports the tags: 2 MB in a request.
	maxHeld = 32_768
	// countMask selects the lower bits of a stream number: the position in the count of streams of the partition.
	countMask = 1<<48 - 1
)

// SignalKind is the kind of a Signal.
type SignalKind int

const (
	// Arrived reports a new stream: Signal.Started and Signal.Assignment.
	Arrived SignalKind = iota
	// Readable wakes the reader of the stream.
	Readable
	// Writable wakes the senders of the stream.
	Writable
	// Over reports that the stream has ended: Signal.Ended. The reader may have events left.
	Over
	// Released reports that the session no longer holds the stream. The handle is dead.
	Released
)

// Signal is a change of a stream that concerns the handlers.
type Signal struct {
	Kind       SignalKind
	Stream     uint64
	Started    *appv1.Started
	Assignment uint64
	Ended      Ended
}

// Session holds all streams of one instance. The zero value is not usable: see New.
type Session struct {
	streams     map[uint64]*Stream
	tombstones  tombstones
	calls       calls
	assignments uint64
	// Bytes of unacknowledged messages that a core may deliver per stream.
	window  int
	signals []Signal
}

// New returns an empty session.
func New(window int) *Session {
	return &Session{
		streams: map[uint64]*Stream{}, tombstones: newTombstones(), calls: calls{live: map[CallID]*call{}}, window: window,
	}
}

// Calls.

// Begin begins a call. It also returns the held streams that no other call serves, for the registration.
func (s *Session) Begin() (CallID, []uint64) {
	var held []uint64
	for number, stream := range s.ordered() {
		if stream.attachment == nil && !stream.isLost {
			held = append(held, number)
		}
	}
	return s.calls.begin(), append(held, s.tombstones.detached()...)
}

// Held returns the progress on these held streams, as far as claim tags are known; at most maxHeld streams.
func (s *Session) Held(numbers []uint64) []*appv1.Held {
	var found []*appv1.Held
	for _, number := range numbers {
		if stream := s.streams[number]; stream != nil && len(found) < maxHeld {
			if held := stream.held(); held != nil {
				found = append(found, held)
			}
		}
	}
	return found
}

// End ends a call and detaches all attached streams.
func (s *Session) End(id CallID) {
	s.calls.end(id)
	for _, stream := range s.streams {
		if stream.isAttachedTo(id) {
			stream.detach()
		}
	}
	s.tombstones.detach(id, nil)
}

// Unsettled returns the calls that must be ended although their events break no contract: a claim was ignored because of a
// higher epoch that no call announces any more, so a new call must settle the owner.
func (s *Session) Unsettled() []CallID { return s.calls.unsettled() }

// IsRegistered returns whether the core has answered the registration of this call.
func (s *Session) IsRegistered(id CallID) bool { return s.calls.isRegistered(id) }

// TakeCommands takes commands for a call: about budget bytes, more if a single message is longer.
func (s *Session) TakeCommands(id CallID, budget int) []*appv1.Command {
	var commands []*appv1.Command
	for {
		number, isReady := s.calls.popReady(id)
		if !isReady {
			return commands
		}
		stream := s.streams[number]
		if stream == nil || !stream.isScheduled || !stream.isAttachedTo(id) {
			continue
		}
		stream.isScheduled = false
		for budget > 0 {
			command := stream.nextCommand()
			if command == nil {
				break
			}
			budget -= cost(command)
			commands = append(commands, command)
		}
		if stream.isEndAcknowledged() {
			delete(s.streams, number)
			s.tombstones.insert(number, stream.attachment)
		} else if budget <= 0 {
			// Out of budget: the next stream takes a turn first.
			s.schedule(stream)
			return commands
		}
	}
}

// CallOf returns the call for which the stream has commands ready, if any.
func (s *Session) CallOf(number uint64) (CallID, bool) {
	stream := s.streams[number]
	if stream == nil || stream.attachment == nil {
		return 0, false
	}
	return stream.attachment.call, s.calls.hasReady(stream.attachment.call)
}

// NeedsProbes returns whether the core of a call has no Finish or no Sync.
func (s *Session) NeedsProbes(id CallID) bool {
	core := s.calls.traits(id)
	return !core.hasFinish || !core.hasSync
}

// Probes returns the commands to send now and then on a call to a core without Finish or Sync.
func (s *Session) Probes(id CallID) []*appv1.Command {
	var commands []*appv1.Command
	for _, stream := range s.ordered() {
		if stream.isAttachedTo(id) {
			if probe := stream.probe(); probe != nil {
				commands = append(commands, probe)
			}
		}
	}
	return commands
}

// IsFlushed returns whether everything done by the handlers has been confirmed by a core, as far as the session can
// determine.
func (s *Session) IsFlushed() bool {
	for _, stream := range s.streams {
		if !stream.isFlushed() {
			return false
		}
	}
	return true
}

// Calls of the handlers.

// AssignmentOf returns the number of the assignment under which a stream is held; 0 for a stream that is not held.
func (s *Session) AssignmentOf(number uint64) uint64 {
	if stream := s.streams[number]; stream != nil {
		return stream.assignment
	}
	return 0
}

// Check returns an error if the core or the client of the stream does not accept the message.
func (s *Session) Check(number uint64, content Content) error {
	if stream := s.streams[number]; stream != nil {
		return stream.check(content)
	}
	return nil
}

// Read takes the next event for the reader of a stream; nil if no event is queued. It returns ErrOver if the session does
// not hold the stream: no event will follow.
func (s *Session) Read(number uint64) (Event, error) {
	stream := s.streams[number]
	if stream == nil {
		return nil, ErrOver
	}
	return stream.incoming.pop(), nil
}

// Change applies a change to a stream. It returns ErrOver if the session does not hold the stream.
func (s *Session) Change(number uint64, change func(*Stream) error) error {
	stream := s.streams[number]
	if stream == nil {
		return ErrOver
	}
	defer s.reschedule(stream)
	return change(stream)
}

// CheckConfirmed returns ErrNoRoom until all messages below end are durable.
func (s *Session) CheckConfirmed(number, end uint64) error {
	stream, err := s.live(number)
	if err == nil && stream.outgoing.confirmed < end {
		return ErrNoRoom
	}
	return err
}

// CheckChange returns ErrNoRoom until a change of the settings is durable and visible to the callers of all cores.
func (s *Session) CheckChange(number, change uint64) error {
	stream, err := s.live(number)
	if err == nil && !stream.settings.isConfirmed(change) {
		return ErrNoRoom
	}
	return err
}

// NextSend returns the number of the next message.
func (s *Session) NextSend(number uint64) (uint64, error) {
	stream, err := s.live(number)
	if err != nil {
		return 0, err
	}
	return stream.outgoing.next(), nil
}

// IsGroupRefused returns whether the core has refused to add the stream to this group.
func (s *Session) IsGroupRefused(number uint64, group string) bool {
	stream, err := s.live(number)
	return err == nil && !stream.settings.hasChanged(group)
}

// TakeSignals takes the changes of streams since the last call.
func (s *Session) TakeSignals() []Signal {
	signals := s.signals
	s.signals = nil
	return signals
}

func (s *Session) signal(kind SignalKind, stream uint64) {
	s.signals = append(s.signals, Signal{Kind: kind, Stream: stream})
}

// ordered returns the streams by number.
func (s *Session) ordered() func(yield func(uint64, *Stream) bool) {
	return func(yield func(uint64, *Stream) bool) {
		for _, number := range slices.Sorted(maps.Keys(s.streams)) {
			if stream := s.streams[number]; stream != nil && !yield(number, stream) {
				return
			}
		}
	}
}

func (s *Session) live(number uint64) (*Stream, error) {
	stream := s.streams[number]
	if stream == nil || stream.isOver() {
		return nil, ErrOver
	}
	return stream, nil
}

func (s *Session) reschedule(stream *Stream) {
	switch {
	case s.streams[stream.number] != stream:
	case stream.isLostAndAcknowledged():
		delete(s.streams, stream.number)
	case stream.hasCommands():
		s.schedule(stream)
	}
}

func (s *Session) schedule(stream *Stream) {
	if !stream.isScheduled && stream.attachment != nil {
		stream.isScheduled = true
		s.calls.pushReady(stream.attachment.call, stream.number)
	}
}

// cost returns the approximate encoded size of a command, in bytes.
func cost(command *appv1.Command) int {
	size := 32
	for _, content := range command.GetSend().GetContents() {
		size += 8 + len(content.GetText()) + len(content.GetBinary())
	}
	for _, message := range command.GetSend().GetMessages() {
		size += 4 + len(message)
	}
	return size
}

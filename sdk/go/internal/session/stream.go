package session

import (
	"unicode/utf8"

	"google.golang.org/protobuf/proto"

	"minerva.dev/minerva/internal/appv1"
)

const (
	// StateLost is the reset reason if the core lost confirmed messages, and the end reason if the core lost the stream.
	StateLost = "state lost"
	// tooLong is the reset reason if the stream moves to a core with a lower message limit than a queued message.
	tooLong = "message too long"
	// unsupported is the reset reason if the stream moves to a core without the kind of a queued message, and if a core refuses
	// the kind.
	unsupported = "unsupported message"
	// invalid is the reset reason if the core has refused a send as invalid.
	invalid = "invalid message"
	// finished is the reset reason of a finished stream at a core without Finish.
	finished = "finished"
)

// pendingReset is a reset by the app, sent once per attachment until the stream ends.
type pendingReset struct {
	reason           string
	applicationLevel bool
	isSent           bool
}

// pendingFinish is a finish by the app, sent once per attachment until the stream ends.
type pendingFinish struct {
	reason string
	// Events below were acknowledged by the handler before. Only these are acknowledged before the finish is sent.
	handled uint64
	isSent  bool
}

// Stream is the state of one stream: received events, queued messages, acknowledgements and settings.
//
// An acknowledgement never overtakes messages that were sent earlier, but travels in the same Send, or waits until those
// messages are durable. A crash of the app therefore loses no effect of an acknowledged event.
type Stream struct {
	number uint64
	// Number of the assignment, as in the handle of the stream; 0 without a handle.
	assignment uint64
	// The last Started. Its id, time and tag are the identity: after a rollback of the store another stream may have the number.
	started  *appv1.Started
	incoming incoming
	tags     eventTags
	outgoing outgoing
	sendTag  uint64
	// The core has lost an event that was received. The stream is reset, and later messages are dropped.
	hasLostEvents bool
	answers       answers
	// The call on which Started arrived; nil while detached.
	attachment *attachment
	core       coreTraits
	accepts    appv1.Accepts
	// The last known identity of the client.
	identity *appv1.Identity
	// The reader is gone: events are acknowledged unread.
	isAbandoned bool
	// All events below are acknowledged by the handler; at most incoming.expected.
	handled uint64
	// Messages below this number must be durable before handled is acknowledged.
	barrier uint64
	// All events below are acknowledged on this attachment, or were when the attachment began.
	ackSent uint64
	// Number of the Ended event, once received.
	ended *uint64
	// The core accepts no more messages on this attachment: Ended or Released follows.
	isClosing bool
	// No core knows the stream any more.
	isLost      bool
	reset       *pendingReset
	finish      *pendingFinish
	settings    Settings
	isScheduled bool
}

func newStream(started *appv1.Started, id CallID, core coreTraits) *Stream {
	state := started.GetSendState()
	return &Stream{
		number:     started.GetStream(),
		started:    started,
		incoming:   newIncoming(started.GetNextEvent()),
		outgoing:   newOutgoing(started.GetNextSend(), state),
		sendTag:    state.GetTag(),
		attachment: &attachment{id, started.GetEpoch()},
		core:       core,
		accepts:    started.GetAccepts(),
		identity:   started.GetIdentity(),
		handled:    started.GetNextEvent(),
		ackSent:    started.GetNextEvent(),
	}
}

// afterTombstone restores a stream from a tombstone, after the core has started the stream again. If the acknowledgement of
// the end was lost, the core repeats the end. If the store has lost the end, the client may still be connected without a
// handler to read the messages, so the stream is reset.
func afterTombstone(started *appv1.Started, id CallID, core coreTraits) *Stream {
	stream := newStream(started, id, core)
	stream.isAbandoned = true
	stream.Reset(StateLost, false)
	return stream
}

// finishedBefore is the stream as an instance has finished it before: all events are acknowledged unread. A core that keeps
// the finish in memory forgets it with the ownership; it is then repeated with its reason.
func finishedBefore(started *appv1.Started, id CallID, core coreTraits) *Stream {
	stream := newStream(started, id, core)
	stream.finish = &pendingFinish{started.GetFinishReason(), stream.handled, true}
	stream.Abandon()
	return stream
}

// isSame returns whether Started is about this stream, and not about a later one with the same number.
func (s *Stream) isSame(started *appv1.Started) bool {
	return s.started.GetStreamId() == started.GetStreamId() &&
		s.started.GetStartedAtMs() == started.GetStartedAtMs() &&
		!differ(s.started.GetCreatedTag(), started.GetCreatedTag())
}

func (s *Stream) isAttachedTo(id CallID) bool { return s.attachment != nil && s.attachment.call == id }

// detach detaches from the call: no command may be sent before the next Started.
func (s *Stream) detach() {
	s.attachment = nil
	s.isClosing, s.isScheduled = false, false
	s.outgoing.inFlight.clear()
	if s.reset != nil {
		s.reset.isSent = false
	}
	if s.finish != nil {
		s.finish.isSent = false
	}
	s.settings.detach()
}

// resume applies a repeated Started on this call. It returns false if the held state is void: another instance had the
// stream meanwhile, or the number belongs to another stream.
func (s *Stream) resume(started *appv1.Started, id CallID, core coreTraits) bool {
	own, assignment := s.started.GetAssignment(), started.GetAssignment()
	goesOn := s.isSame(started) && (own == 0 || assignment == 0 || own == assignment)
	if !goesOn || started.GetNextEvent() > s.incoming.expected || started.GetNextSend() > s.outgoing.next() {
		return false
	}
	s.detach()
	s.attachment = &attachment{id, started.GetEpoch()}
	s.core, s.accepts = core, started.GetAccepts()
	if s.finish != nil && started.GetFinishing() {
		s.finish.isSent = true
	}
	s.incoming.resume(started.GetNextEvent())
	s.ackSent = started.GetNextEvent()
	state := started.GetSendState()
	switch {
	case s.ended != nil:
		s.outgoing.clear()
	case started.GetNextSend() >= s.outgoing.confirmed && !s.hasLostSends(state):
		s.sendTag = state.GetTag()
		s.outgoing.resume(started.GetNextSend(), state)
		s.answers.free(s.outgoing.confirmed)
		s.resetIfUnacceptable()
	default:
		s.discardSendsAndReset(StateLost)
	}
	return true
}

// held returns the progress to report to the next core; nil if no claim tag is known.
func (s *Stream) held() *appv1.Held {
	held := &appv1.Held{Stream: s.number, CreatedTag: s.started.GetCreatedTag()}
	// The numbers of an ended or reset stream are not those of received events and confirmed messages.
	if !s.isOver() {
		held.NextEvent, held.EventTag = s.incoming.expected, s.tags.last()
		held.NextSend, held.SendTag = s.outgoing.confirmed, s.sendTag
	}
	if held.CreatedTag == 0 && held.EventTag == 0 && held.SendTag == 0 {
		return nil
	}
	return held
}

// hasLostSends returns whether the last confirmed message has another tag at the core: the core has lost this message.
func (s *Stream) hasLostSends(state *appv1.SendState) bool {
	return state != nil && state.GetNextSend() == s.outgoing.confirmed && differ(s.sendTag, state.GetTag())
}

// resetIfUnacceptable resets the stream if the core does not accept a queued message.
func (s *Stream) resetIfUnacceptable() {
	for _, content := range s.outgoing.queue.all() {
		switch s.check(content).(type) {
		case nil:
		case *TooLongError:
			s.discardSendsAndReset(tooLong)
			return
		default:
			s.discardSendsAndReset(unsupported)
			return
		}
	}
}

// discardSendsAndReset drops queued messages that can never be delivered, and resets the stream.
func (s *Stream) discardSendsAndReset(reason string) {
	s.outgoing.clear()
	s.Reset(reason, false)
}

// Calls of the handler.

// check returns an error if the core or the client does not accept the message, so that the message gets no number.
func (s *Stream) check(content Content) error {
	if !content.Binary && !utf8.ValidString(content.Data) {
		return &InvalidTextError{validPrefix(content.Data)}
	}
	if length := len(content.Data); length > s.core.maxMessage {
		return &TooLongError{length, s.core.maxMessage}
	}
	if s.accepts == appv1.Accepts_ACCEPTS_TEXT_AND_BINARY {
		return nil
	}
	if content.Binary {
		return &UnsupportedError{-1}
	}
	for position := range len(content.Data) {
		if at := content.Data[position]; at < ' ' || at > '~' {
			return &UnsupportedError{position}
		}
	}
	return nil
}

func validPrefix(text string) int {
	for position, character := range text {
		if character == utf8.RuneError {
			if _, size := utf8.DecodeRuneInString(text[position:]); size == 1 {
				return position
			}
		}
	}
	return len(text)
}

// Acknowledge acknowledges all events up to the given one.
func (s *Stream) Acknowledge(event uint64) {
	if event >= s.incoming.expected {
		event = s.incoming.expected - 1
	}
	if event < s.handled {
		return
	}
	s.handled, s.barrier = event+1, s.outgoing.next()
	if s.ended != nil {
		s.barrier = 0
	}
}

// Send queues a message and returns the number.
func (s *Stream) Send(content Content, respectPause bool) (uint64, error) {
	if err := s.CheckRoom(respectPause); err != nil {
		return 0, err
	}
	return s.outgoing.push(content), nil
}

// Answer queues the answer to an event and acknowledges the event.
func (s *Stream) Answer(event uint64, content Content) (uint64, error) {
	number, err := s.Send(content, true)
	if err != nil {
		return 0, err
	}
	s.answers.push(number, event)
	s.Acknowledge(event)
	return number, nil
}

// CheckRoom returns an error unless Send would queue a message now.
func (s *Stream) CheckRoom(respectPause bool) error {
	switch {
	case s.isOver():
		return ErrOver
	case s.finish != nil:
		return ErrFinished
	case !s.outgoing.hasRoom() || (respectPause && s.outgoing.isPaused):
		return ErrNoRoom
	}
	return nil
}

// Reset ends the stream. The first reason counts.
func (s *Stream) Reset(reason string, applicationLevel bool) {
	if s.ended == nil && s.reset == nil {
		s.reset = &pendingReset{reason: reason, applicationLevel: applicationLevel}
	}
}

// Finish ends the stream behind the queued messages, and accepts no more. The first reason counts.
func (s *Stream) Finish(reason string) {
	if !s.isOver() && s.finish == nil {
		s.finish = &pendingFinish{reason: reason, handled: s.handled}
	}
}

// Abandon drops the reader.
func (s *Stream) Abandon() {
	s.isAbandoned = true
	s.hasReader()
}

// Settings returns the settings, for a change.
func (s *Stream) Settings() *Settings { return &s.settings }

// isOver returns whether no more messages are accepted.
func (s *Stream) isOver() bool { return s.ended != nil || s.isClosing || s.reset != nil }

// hasReader acknowledges all received events if no reader is left. It returns whether a reader exists.
func (s *Stream) hasReader() bool {
	if s.isAbandoned {
		s.incoming.clear()
		s.handled = s.incoming.expected
	}
	return !s.isAbandoned
}

// isFlushed returns whether everything is sent and confirmed.
func (s *Stream) isFlushed() bool {
	_, hasAck := s.pendingAck()
	isSent := s.isOver() || (s.outgoing.isEmpty() && len(s.settings.pending) == 0)
	return (s.reset == nil || s.reset.isSent) && (s.finish == nil || s.finish.isSent) && isSent && !hasAck
}

// isEndAcknowledged returns whether the end is acknowledged, so the stream becomes a tombstone.
func (s *Stream) isEndAcknowledged() bool {
	return s.attachment != nil && s.ended != nil && s.ackSent > *s.ended
}

// isLostAndAcknowledged returns whether the stream was lost and the handler has acknowledged the end.
func (s *Stream) isLostAndAcknowledged() bool {
	return s.isLost && s.ended != nil && s.handled > *s.ended
}

// setIdentity notes an identity and returns whether it is new.
func (s *Stream) setIdentity(identity *appv1.Identity) bool {
	isNew := identity != nil && !proto.Equal(identity, s.identity)
	if isNew {
		s.identity = identity
	}
	return isNew
}

package minerva

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"sync"
	"time"

	"minerva.dev/minerva/internal/session"
)

// failedReason is the reset reason when a handler fails. Fixed, because the text of an error may be confidential.
const failedReason = "the application failed"

// Stream is the stream of one client: ordered, reliable, in both directions. One goroutine reads; any goroutine may send.
//
// Acknowledgement: asking for the next event or message acknowledges the previous one. Unacknowledged events are delivered
// again after a crash of this process, to any instance. AcknowledgeManually leaves acknowledgements to the application.
type Stream struct {
	cell     *cell
	instance *instance
	// The last event returned to the handler, acknowledged by the next request, if any.
	unfinished    uint64
	hasUnfinished bool
	// The handler has received the last event.
	isOver   bool
	isManual bool
	closed   sync.Once
}

func newStream(cell *cell, instance *instance) *Stream {
	// Started is event 0.
	return &Stream{cell: cell, instance: instance, hasUnfinished: cell.started.GetNextEvent() == 0}
}

// Number returns the number of the stream, unique in a deployment.
func (s *Stream) Number() uint64 { return s.cell.number }

// ID returns the id of the stream, a secret of client and server: never log it. String returns a short hash.
func (s *Stream) ID() string { return s.cell.started.GetStreamId() }

// String identifies the stream in logs.
func (s *Stream) String() string { return fmt.Sprintf("stream %d %s", s.Number(), shortHash(s.ID())) }

// GoString identifies the stream, as String does.
func (s *Stream) GoString() string { return s.String() }

// IsResumed returns whether an instance had the stream before, in this or another process. That instance may have answered
// messages that are not delivered again.
func (s *Stream) IsResumed() bool { return s.cell.started.GetResumed() }

// FirstEvent returns the first unacknowledged event at the assignment; 0, the start, for a new stream.
func (s *Stream) FirstEvent() uint64 { return s.cell.started.GetNextEvent() }

// Attempts returns the deliveries of the first unacknowledged event at the assignment, this one included: 1, and 1 more for
// each instance that died with that event in delivery. 0 with a core of release 0.1.
func (s *Stream) Attempts() uint32 { return s.cell.started.GetAttempts() }

// FirstSend returns the number of the first message sent here; 0 if none was sent to this stream before.
func (s *Stream) FirstSend() uint64 { return s.cell.started.GetNextSend() }

// NextSend returns the number of the next message.
func (s *Stream) NextSend() (number uint64, err error) {
	_, err = s.instance.attempt(s.cell, func() (err error) {
		number, err = s.instance.session.NextSend(s.cell.number)
		return err
	})
	return number, err
}

// Credentials returns the credentials of the client, `cred` in the hello: a secret.
func (s *Stream) Credentials() string { return s.cell.started.GetCredentials() }

// Identity returns the identity of the client at the assignment, if the core verifies tokens; otherwise nil.
func (s *Stream) Identity() *Identity { return identityOf(s.cell.started.GetIdentity()) }

// Headers returns the request headers of the first transport that the edges forward.
func (s *Stream) Headers() []Header { return headersOf(s.cell.started.GetHeaders()) }

// Header returns the value of the first header with this lower-case name; empty without one.
func (s *Stream) Header(name string) string {
	for _, header := range s.cell.started.GetHeaders() {
		if header.GetName() == name {
			return header.GetValue()
		}
	}
	return ""
}

// PeerAddress returns the address of the client at the start of the stream, without the port.
func (s *Stream) PeerAddress() string { return s.cell.started.GetPeerAddress() }

// Transport returns the protocol that carried the first hello.
func (s *Stream) Transport() TransportKind { return transportOf(s.cell.started.GetTransport()) }

// StartedAt returns the start of the stream, by the clock of the core.
func (s *Stream) StartedAt() time.Time { return time.UnixMilli(int64(s.cell.started.GetStartedAtMs())) }

// Label returns the label at the assignment; empty without one.
func (s *Stream) Label() string { return s.cell.started.GetLabel() }

// Groups returns the groups at the assignment.
func (s *Stream) Groups() []string { return slices.Clone(s.cell.started.GetGroups()) }

// Accepts returns the messages that the client accepts.
func (s *Stream) Accepts() Accepts {
	if s.cell.started.GetAccepts() == 2 {
		return TextAndBinary
	}
	return ASCIIText
}

// Done returns a channel that is closed once the stream has ended or is released. The reader may have events left.
func (s *Stream) Done() <-chan struct{} { return s.cell.over }

// Ended returns the end of the stream; nil while the stream lives, and for a released stream. Known before a slow reader
// reaches the end.
func (s *Stream) Ended() *Ended {
	s.instance.mutex.Lock()
	defer s.instance.mutex.Unlock()
	return s.cell.ended
}

// Receiving.

// Messages returns the messages of the client until the stream is over, the service is stopped, or the context ends. A
// message is acknowledged when the next one is requested.
func (s *Stream) Messages(ctx context.Context) iter.Seq[Message] {
	return func(yield func(Message) bool) {
		for event := range s.Events(ctx) {
			if message, isMessage := event.(Message); isMessage && !yield(message) {
				return
			}
		}
	}
}

// Events returns the events of the stream. The last one is Ended or Released, unless the context ends.
func (s *Stream) Events(ctx context.Context) iter.Seq[Event] {
	return func(yield func(Event) bool) {
		for {
			event, err := s.Next(ctx)
			if event == nil || err != nil || !yield(event) {
				return
			}
		}
	}
}

// Next waits for the next event; nil after Ended or Released. The end of the context loses no event.
func (s *Stream) Next(ctx context.Context) (Event, error) {
	if !s.isManual && s.hasUnfinished {
		s.Acknowledge(s.unfinished)
		s.hasUnfinished = false
	}
	if s.isOver {
		return nil, nil
	}
	event, err := s.instance.read(ctx, s.cell)
	if err != nil {
		return nil, err
	}
	switch event := event.(type) {
	case Message:
		s.unfinished, s.hasUnfinished = event.Event, true
	case Rejoined:
		s.unfinished, s.hasUnfinished = event.Event, true
	case Ended:
		s.unfinished, s.hasUnfinished, s.isOver = event.Event, true, true
	case Released:
		s.isOver = true
	}
	return event, nil
}

// AcknowledgeManually turns automatic acknowledgement off: from now on Acknowledge and Answer acknowledge events, and the end
// of the handler the end of the stream.
func (s *Stream) AcknowledgeManually() { s.isManual = true }

// Acknowledge acknowledges all events up to the given one, which are then never delivered again. The acknowledgement reaches
// the core together with the messages sent before, or after they are durable.
func (s *Stream) Acknowledge(event uint64) {
	s.instance.tryChange(s.cell, func(stream *session.Stream) { stream.Acknowledge(event) })
}

// Sending.

// Send queues a message, and waits for room if the client is behind. Messages travel in the order of queueing. They are kept
// until they are durable and are repeated after a lost call; the core takes each once. Errors are ErrStreamOver,
// ErrStreamFinished, *MessageTooLongError, *UnsupportedMessageError, *InvalidTextError, and that of the context.
func (s *Stream) Send(ctx context.Context, content Content) error {
	return s.instance.wait(ctx, s.cell, func() error { return s.queue(content, true) })
}

// TrySend queues a message at once, even while the stream is paused. It returns ErrOutboxFull without room.
func (s *Stream) TrySend(content Content) error {
	_, err := s.instance.attempt(s.cell, func() error { return s.queue(content, false) })
	if errors.Is(err, session.ErrNoRoom) {
		return ErrOutboxFull
	}
	return err
}

// SendJSON sends a value as JSON in ASCII, which clients of every version accept.
func (s *Stream) SendJSON(ctx context.Context, value any) error {
	content, err := JSON(value)
	if err != nil {
		return err
	}
	return s.Send(ctx, content)
}

// Answer queues a message and acknowledges an event in one step: the core takes both or neither, so that an event redelivered
// after a crash has no answer yet. After an error the event stays unacknowledged.
func (s *Stream) Answer(ctx context.Context, event uint64, content Content) error {
	return s.instance.wait(ctx, s.cell, func() error {
		if err := s.instance.session.Check(s.cell.number, content.inner); err != nil {
			return err
		}
		return s.instance.change(s.cell, func(stream *session.Stream) error {
			_, err := stream.Answer(event, content.inner)
			return err
		})
	})
}

// AnswerParts queues an answer of several messages; the last one acknowledges the event. first is the number of the first
// part (NextSend), which the application has stored with the effects of the event. Parts that an earlier process has sent are
// skipped. The answer to an event must be the same at each delivery, and nothing else may be sent between.
func (s *Stream) AnswerParts(ctx context.Context, event, first uint64, parts []Content) error {
	skipped := max(s.FirstSend(), first) - first
	if skipped >= uint64(len(parts)) {
		s.Acknowledge(event)
		return nil
	}
	unsent := parts[skipped:]
	for _, part := range unsent[:len(unsent)-1] {
		if err := s.Send(ctx, part); err != nil {
			return err
		}
	}
	return s.Answer(ctx, event, unsent[len(unsent)-1])
}

// Ready waits until Send would queue a message at once.
func (s *Stream) Ready(ctx context.Context) error {
	return s.instance.wait(ctx, s.cell, func() error {
		return s.instance.change(s.cell, func(stream *session.Stream) error { return stream.CheckRoom(true) })
	})
}

// Durable waits until all messages queued before this call are durable: they reach the client despite crashes of this
// application and of cores, unless the stream ends.
func (s *Stream) Durable(ctx context.Context) error {
	end, err := s.NextSend()
	if err != nil {
		return err
	}
	return s.instance.wait(ctx, s.cell, func() error { return s.instance.session.CheckConfirmed(s.cell.number, end) })
}

// Finish ends the stream once the client has acknowledged all messages queued before. The stream accepts no messages from now
// on. The client receives the reason, or "finished". Returning from a handler finishes the stream as well.
func (s *Stream) Finish(reason string) error {
	if err := checkReason(reason); err != nil {
		return err
	}
	s.instance.tryChange(s.cell, func(stream *session.Stream) { stream.Finish(reason) })
	return nil
}

// Reset ends the stream at once for both sides. Messages that the client has not received are dropped; Finish delivers them
// first.
func (s *Stream) Reset(reason string) error {
	if err := checkReason(reason); err != nil {
		return err
	}
	s.instance.tryChange(s.cell, func(stream *session.Stream) { stream.Reset(reason, true) })
	return nil
}

// Close ends the work of this handle: it finishes a live stream, and later events are acknowledged unread. During a stop the
// stream goes on elsewhere instead. Run does this after a handler.
func (s *Stream) Close() { s.close(true) }

func (s *Stream) close(hasSucceeded bool) {
	s.closed.Do(func() {
		isRunning := s.instance.isRunning()
		s.instance.tryChange(s.cell, func(stream *session.Stream) {
			switch {
			case isRunning && hasSucceeded:
				stream.Finish("")
			case isRunning:
				stream.Reset(failedReason, false)
			}
			if isRunning || s.cell.ended != nil {
				stream.Abandon()
			}
		})
		s.instance.onReaderClosed()
	})
}

// queue queues a message. The caller has the lock.
func (s *Stream) queue(content Content, respectPause bool) error {
	if err := s.instance.session.Check(s.cell.number, content.inner); err != nil {
		return err
	}
	return s.instance.change(s.cell, func(stream *session.Stream) error {
		_, err := stream.Send(content.inner, respectPause)
		return err
	})
}

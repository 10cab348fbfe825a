// Package qan has questions, answers and notifications over the messages of a stream, the same in both directions. Optional.
//
// A body is text or binary, as the message that carries the body.
//
// A stream survives the death of this process: the next one answers the questions that were open, and those that were
// delivered and not begun, with the unknown error `interrupted`. A question that is open for more than 30 s, or with more than
// 100 messages or 64 KiB behind it, is acknowledged before its answer: after a death of the process it has no answer. A
// question may run again if the core could not count the death, so a question with effects needs to be idempotent. An ack
// timeout must be above 60 s.
package qan

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"minerva.dev/minerva"
)

// maxConcurrent bounds the questions and notifications of one client that are handled at a time.
const maxConcurrent = 1000

// Handler handles the questions and notifications of a client, each in a goroutine of its own. The context ends with the
// stream, at a stop, and when the client cancels the question.
type Handler struct {
	// Question returns the answer. A *KnownError is answered with the body; another error, or a panic, is logged, and the client
	// gets the unknown error `Uncaught exception`.
	Question func(ctx context.Context, peer *Peer, body minerva.Content) (minerva.Content, error)
	// Notification may be nil.
	Notification func(ctx context.Context, peer *Peer, body minerva.Content)
}

// Qan serves the questions and notifications of one stream.
type Qan struct {
	stream  *minerva.Stream
	peer    *Peer
	handler Handler
	// The handlers end with this context.
	ctx      context.Context
	isBroken bool

	// Held while an answer waits for room, so that no acknowledgement overtakes the answer.
	turn       sync.Mutex
	unanswered unanswered

	mutex         sync.Mutex
	questions     map[uint64]context.CancelFunc
	notifications int
}

// New prepares a stream for QAN: events are acknowledged by Serve.
func New(stream *minerva.Stream) *Qan {
	stream.AcknowledgeManually()
	return &Qan{stream: stream, peer: newPeer(stream), questions: map[uint64]context.CancelFunc{}}
}

// Peer returns the client, for questions and notifications while Serve runs.
func (q *Qan) Peer() *Peer { return q.peer }

// Serve handles questions and notifications at the same time, up to 1,000. It returns the end of the stream; nil if the stream
// was released.
func (q *Qan) Serve(ctx context.Context, handler Handler) (*minerva.Ended, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer q.peer.close()
	q.ctx, q.handler = ctx, handler
	if q.stream.FirstEvent() == 0 {
		q.stream.Acknowledge(0)
	}
	go q.watchTime()
	for event := range q.stream.Events(ctx) {
		switch event := event.(type) {
		case minerva.Message:
			q.onMessage(event)
		case minerva.Rejoined:
			q.hold(heldEvent{event: event.Event, since: time.Now()})
		case minerva.Ended:
			return &event, nil
		case minerva.Released:
			q.interruptAll()
			return nil, nil
		}
	}
	return nil, ctx.Err()
}

func (q *Qan) onMessage(message minerva.Message) {
	if q.isBroken {
		q.stream.Acknowledge(message.Event)
		return
	}
	found, isFrame := parse(message.Content)
	if !isFrame {
		q.reset("Bad QAN frame.  Did peer send a non-QAN string?")
		return
	}
	q.hold(heldEvent{message.Event, message.Len(), time.Now(), found.number, found.kind == 'Q'})
	switch found.kind {
	case 'Q':
		q.onQuestion(found, message.Attempts)
	case '#':
		q.onNotification(found.body)
	case 'C':
		q.mutex.Lock()
		defer q.mutex.Unlock()
		if cancel := q.questions[found.number]; cancel != nil {
			cancel()
		}
	default:
		if !q.peer.onAnswer(found) {
			q.reset(fmt.Sprintf("QANHelper said: Received an answer with invalid qid: %d", found.number))
		}
	}
}

func (q *Qan) onQuestion(question frame, attempts uint32) {
	ctx, isNew, isFull := q.open(question.number)
	switch {
	case !isNew:
		q.reset(fmt.Sprintf("QANHelper said: Received Question with duplicate qid: %d", question.number))
	case attempts > 1:
		go q.answer(frame{'U', question.number, minerva.Text("interrupted")})
	case isFull:
		go q.answer(frame{'U', question.number, minerva.Text("Too many questions")})
	default:
		go func() { q.answer(q.answerTo(ctx, question)) }()
	}
}

// open adds an open question, unless its number is in use. remove ends the context.
func (q *Qan) open(question uint64) (ctx context.Context, isNew, isFull bool) {
	q.mutex.Lock()
	defer q.mutex.Unlock()
	if q.questions[question] != nil {
		return nil, false, false
	}
	isFull = len(q.questions)+q.notifications >= maxConcurrent
	ctx, q.questions[question] = context.WithCancel(q.ctx)
	return ctx, true, isFull
}

// answerTo runs the handler of a question.
func (q *Qan) answerTo(ctx context.Context, question frame) (answer frame) {
	failed := frame{'U', question.number, minerva.Text("Uncaught exception")}
	defer func() {
		if problem := recover(); problem != nil {
			slog.Error("minerva: a question panicked", "stream", q.stream, "panic", problem)
			answer = failed
		}
	}()
	body, err := q.handler.Question(ctx, q.peer, question.body)
	var known *KnownError
	switch {
	case ctx.Err() != nil:
		return frame{'U', question.number, minerva.Text("CancelledError")}
	case err == nil:
		return frame{'K', question.number, body}
	case errors.As(err, &known):
		return frame{'E', question.number, known.Body}
	}
	slog.Error("minerva: a question failed", "stream", q.stream, "error", err)
	return failed
}

// answer sends an answer, unless the question was interrupted.
func (q *Qan) answer(answer frame) {
	q.turn.Lock()
	defer q.turn.Unlock()
	if q.ctx.Err() != nil || !q.remove(answer.number) {
		return
	}
	due, isDue := q.unanswered.onAnswered(answer.number)
	err := q.send(answer, due, isDue)
	if err != nil && !errors.Is(err, minerva.ErrStreamOver) && q.ctx.Err() == nil {
		slog.Error("minerva: an answer is not a valid message", "stream", q.stream, "error", err)
		_ = q.send(frame{'U', answer.number, minerva.Text("Uncaught exception")}, due, isDue)
	}
}

func (q *Qan) send(answer frame, due uint64, isDue bool) error {
	if isDue {
		return q.stream.Answer(q.ctx, due, answer.encode())
	}
	return q.stream.Send(q.ctx, answer.encode())
}

// remove removes an open question and returns whether it was open.
func (q *Qan) remove(question uint64) bool {
	q.mutex.Lock()
	defer q.mutex.Unlock()
	cancel, isOpen := q.questions[question]
	if isOpen {
		cancel()
		delete(q.questions, question)
	}
	return isOpen
}

func (q *Qan) onNotification(body minerva.Content) {
	q.mutex.Lock()
	isFull := len(q.questions)+q.notifications >= maxConcurrent
	isHandled := !isFull && q.handler.Notification != nil
	if isHandled {
		q.notifications++
	}
	q.mutex.Unlock()
	if isFull {
		q.reset("too many notifications at once")
	}
	if !isHandled {
		return
	}
	go func() {
		defer func() {
			if problem := recover(); problem != nil {
				slog.Error("minerva: a notification panicked", "stream", q.stream, "panic", problem)
			}
			q.mutex.Lock()
			defer q.mutex.Unlock()
			q.notifications--
		}()
		q.handler.Notification(q.ctx, q.peer, body)
	}()
}

// interruptAll answers the open questions with `interrupted`. Without room a question stays unacknowledged, and the next
// instance answers it.
func (q *Qan) interruptAll() {
	q.turn.Lock()
	defer q.turn.Unlock()
	q.mutex.Lock()
	open := make([]uint64, 0, len(q.questions))
	for question := range q.questions {
		open = append(open, question)
	}
	q.mutex.Unlock()
	for _, question := range open {
		if q.remove(question) && q.stream.TrySend(frame{'U', question, minerva.Text("interrupted")}.encode()) == nil {
			q.acknowledge(q.unanswered.onAnswered(question))
		}
	}
}

func (q *Qan) watchTime() {
	ticks := time.NewTicker(time.Second)
	defer ticks.Stop()
	for {
		select {
		case now := <-ticks.C:
			q.turn.Lock()
			q.acknowledge(q.unanswered.onTime(now))
			q.turn.Unlock()
		case <-q.ctx.Done():
			return
		}
	}
}

func (q *Qan) hold(held heldEvent) {
	q.turn.Lock()
	defer q.turn.Unlock()
	q.acknowledge(q.unanswered.onEvent(held))
}

func (q *Qan) acknowledge(due uint64, isDue bool) {
	if isDue {
		q.stream.Acknowledge(due)
	}
}

func (q *Qan) reset(reason string) {
	q.isBroken = true
	q.peer.close()
	_ = q.stream.Reset(reason)
}

package qan

import (
	"context"
	"errors"
	"sync"

	"minerva.dev/minerva"
)

// maxPending bounds the open questions to the client, cancelled ones included.
const maxPending = 1000

// KnownError is an answer that is an error of the application. The handler of a question returns it, or Ask.
type KnownError struct{ Body minerva.Content }

func (e *KnownError) Error() string { return "known error: " + e.Body.Text() }

// UnknownError reports that the client has failed to answer. The body is a reason for a log, such as "interrupted".
type UnknownError struct{ Body minerva.Content }

func (e *UnknownError) Error() string { return "unknown error: " + e.Body.Text() }

// ErrTooManyQuestions reports that 1,000 questions have no answer.
var ErrTooManyQuestions = errors.New("too many questions without an answer")

// Peer asks and notifies the client of a stream.
type Peer struct {
	stream *minerva.Stream
	// Questions up to this number may have been sent by an earlier process, which had one send for each at least.
	earlier uint64
	// Numbers follow the order of sending, also if a question waits for room: a semaphore.
	turn chan struct{}

	mutex sync.Mutex
	next  uint64
	// By number. nil after a cancellation, while the answer is outstanding.
	waiting  map[uint64]chan frame
	isClosed bool
}

func newPeer(stream *minerva.Stream) *Peer {
	return &Peer{
		stream: stream, earlier: stream.FirstSend(), next: stream.FirstSend() + 1,
		turn: make(chan struct{}, 1), waiting: map[uint64]chan frame{},
	}
}

// Ask asks the client and waits for the answer. The end of the context cancels the question. Errors are *KnownError,
// *UnknownError, ErrTooManyQuestions, those of Send, and that of the context.
func (p *Peer) Ask(ctx context.Context, body minerva.Content) (minerva.Content, error) {
	number, answer, err := p.send(ctx, body)
	if err != nil {
		return minerva.Content{}, err
	}
	select {
	case found, isOpen := <-answer:
		switch {
		case !isOpen:
			return minerva.Content{}, minerva.ErrStreamOver
		case found.kind == 'K':
			return found.body, nil
		case found.kind == 'E':
			return minerva.Content{}, &KnownError{found.body}
		}
		return minerva.Content{}, &UnknownError{found.body}
	case <-ctx.Done():
		p.cancel(number)
		return minerva.Content{}, ctx.Err()
	}
}

// Notify sends a notification.
func (p *Peer) Notify(ctx context.Context, body minerva.Content) error {
	return p.stream.Send(ctx, frame{kind: '#', body: body}.encode())
}

func (p *Peer) send(ctx context.Context, body minerva.Content) (uint64, chan frame, error) {
	select {
	case p.turn <- struct{}{}:
		defer func() { <-p.turn }()
	case <-ctx.Done():
		return 0, nil, ctx.Err()
	}
	p.mutex.Lock()
	number, answer := p.next, make(chan frame, 1)
	isClosed, isFull := p.isClosed, len(p.waiting) >= maxPending
	if !isClosed && !isFull {
		// Before the send: the answer may arrive at once.
		p.waiting[number] = answer
	}
	p.mutex.Unlock()
	switch {
	case isClosed:
		return 0, nil, minerva.ErrStreamOver
	case isFull:
		return 0, nil, ErrTooManyQuestions
	}
	err := p.stream.Send(ctx, frame{'Q', number, body}.encode())
	p.mutex.Lock()
	defer p.mutex.Unlock()
	if err != nil {
		delete(p.waiting, number)
		return 0, nil, err
	}
	p.next = number + 1
	return number, answer, nil
}

func (p *Peer) cancel(number uint64) {
	p.mutex.Lock()
	isWaiting := p.waiting[number] != nil
	if isWaiting {
		p.waiting[number] = nil
	}
	p.mutex.Unlock()
	if isWaiting {
		// Best effort: without room the client answers in vain.
		_ = p.stream.TrySend(frame{kind: 'C', number: number}.encode())
	}
}

// onAnswer applies an answer and returns whether the question exists.
func (p *Peer) onAnswer(answer frame) bool {
	if answer.number <= p.earlier {
		return true
	}
	p.mutex.Lock()
	defer p.mutex.Unlock()
	waiting, isKnown := p.waiting[answer.number]
	delete(p.waiting, answer.number)
	if waiting != nil {
		waiting <- answer
	}
	return isKnown
}

// close fails all open questions and all later ones.
func (p *Peer) close() {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	p.isClosed = true
	for _, waiting := range p.waiting {
		if waiting != nil {
			close(waiting)
		}
	}
	clear(p.waiting)
}

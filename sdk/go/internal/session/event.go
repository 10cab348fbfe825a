package session

import (
	"errors"
	"fmt"

	"minerva.dev/minerva/internal/appv1"
)

// Content is the content of a message: text, or binary.
type Content struct {
	Data   string
	Binary bool
}

// Event is an event for the reader of a stream: Message, Rejoined, Renewed, TransportChanged or Ended.
type Event interface{ isEvent() }

// Message is a message of the client. Attempts counts the deliveries of the message; 0 if unknown.
type Message struct {
	Event    uint64
	Content  Content
	Attempts uint32
}

// Rejoined reports that a new generation of the client has taken the stream over.
type Rejoined struct{ Proto *appv1.Rejoined }

// Renewed reports a new token of the client.
type Renewed struct{ Identity *appv1.Identity }

// TransportChanged reports an attached or detached transport.
type TransportChanged struct{ Proto *appv1.TransportChanged }

// Ended is the last event of a stream.
type Ended struct {
	Event            uint64
	Reason           string
	ApplicationLevel bool
	By               appv1.EndedBy
}

func (Message) isEvent()          {}
func (Rejoined) isEvent()         {}
func (Renewed) isEvent()          {}
func (TransportChanged) isEvent() {}
func (Ended) isEvent()            {}

var (
	// ErrNoRoom reports that the outbox has no room now, or that a change or a message is not durable yet.
	ErrNoRoom = errors.New("no room")
	// ErrOver reports that the stream is over, or that the session no longer holds the stream.
	ErrOver = errors.New("the stream is over")
	// ErrFinished reports that the application has finished the stream.
	ErrFinished = errors.New("the stream is finished and accepts no more messages")
	// ErrTooManyGroups reports that the stream is in the maximal number of groups.
	ErrTooManyGroups = fmt.Errorf("a stream is in at most %d groups", maxGroups)
)

// ContractError reports that a core broke the contract, or that a claim cannot be verified: the call must be ended.
type ContractError struct{ Problem string }

func (e *ContractError) Error() string { return e.Problem }

func broken(problem string) error { return &ContractError{problem} }

// TooLongError reports a message that is longer than the core accepts.
type TooLongError struct{ Length, Limit int }

func (e *TooLongError) Error() string {
	return fmt.Sprintf("a message of %d bytes exceeds the limit of %d", e.Length, e.Limit)
}

// UnsupportedError reports a message that the client does not accept. Position is the offset of the first byte outside of
// 0x20-0x7E, or -1 for a binary message.
type UnsupportedError struct{ Position int }

func (e *UnsupportedError) Error() string {
	problem := "a binary message"
	if e.Position >= 0 {
		problem = fmt.Sprintf("other text at byte %d", e.Position)
	}
	return problem + ": the client accepts text of the bytes 0x20-0x7E only"
}

// InvalidTextError reports a text that is not UTF-8. Position is the offset of the first invalid byte.
type InvalidTextError struct{ Position int }

func (e *InvalidTextError) Error() string {
	return fmt.Sprintf("the text is not UTF-8 at byte %d: correct the text, or send bytes", e.Position)
}

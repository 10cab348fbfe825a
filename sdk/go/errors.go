package minerva

import (
	"errors"
	"fmt"

	"minerva.dev/minerva/internal/session"
)

var (
	// ErrStreamOver reports that the stream is over, or that this instance no longer has the stream.
	ErrStreamOver = session.ErrOver
	// ErrStreamFinished reports that the application has finished the stream.
	ErrStreamFinished = session.ErrFinished
	// ErrOutboxFull reports that the outbox of the stream has no room now.
	ErrOutboxFull = errors.New("the outbox of the stream is full: use Send, which waits for room")
	// ErrTooManyGroups reports that the stream is in the maximal number of groups.
	ErrTooManyGroups = session.ErrTooManyGroups
	// ErrStopped reports that the service is stopped.
	ErrStopped = errors.New("the service is stopped")
)

// MessageTooLongError reports a message with more bytes (Length) than the core accepts (Limit).
type MessageTooLongError = session.TooLongError

// UnsupportedMessageError reports a message that the client does not accept: see [Stream.Accepts]. Position is the offset of
// the first byte outside of 0x20-0x7E, or -1 for a binary message.
type UnsupportedMessageError = session.UnsupportedError

// InvalidTextError reports a text that is not UTF-8. Position is the offset of the first invalid byte.
type InvalidTextError = session.InvalidTextError

// SettingError reports an invalid reason, label or name of a group. The stream is unchanged.
type SettingError struct{ Problem string }

func (e *SettingError) Error() string { return e.Problem }

// StartError reports that a service cannot start: an option is invalid, or a core has refused the registration.
type StartError struct{ Problem string }

func (e *StartError) Error() string { return e.Problem }

func startErrorf(format string, arguments ...any) error {
	return &StartError{fmt.Sprintf(format, arguments...)}
}

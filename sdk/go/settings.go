package minerva

import (
	"context"
	"strings"
	"time"

	"minerva.dev/minerva/internal/appv1"
	"minerva.dev/minerva/internal/session"
)

// SetMaxIdle sets the lifetime of the stream without any transport, from 1 ms to a week.
func (s *Stream) SetMaxIdle(lifetime time.Duration) {
	limit := uint64(min(max(lifetime, time.Millisecond), week).Milliseconds())
	s.setLimits(&appv1.SetLimits{MaxIdleMs: &limit})
}

// SetAckTimeout sets the longest time without an acknowledgement of a delivered event, at most a week; 0 for no limit. Then
// the stream moves to another instance; without one, or after a move without an acknowledgement, the stream ends with the
// reason "application timeout". Holds for this instance.
func (s *Stream) SetAckTimeout(timeout time.Duration) {
	limit := uint64(min(max(timeout, 0), week).Milliseconds())
	s.setLimits(&appv1.SetLimits{AckTimeoutMs: &limit})
}

// SetOutbox sets the outbox limits: at most 6 MiB and 100,000 messages.
func (s *Stream) SetOutbox(maxBytes, maxMessages int) {
	bytes, messages := uint32(min(max(maxBytes, 1), 6<<20)), uint32(min(max(maxMessages, 1), 100_000))
	s.setLimits(&appv1.SetLimits{OutboxBytes: &bytes, OutboxMessages: &messages})
}

// SetCompression permits the edge to compress messages to the client, or forbids it again. Not for streams that mix secrets
// with text of another party: the length of compressed bytes depends on the content (the attack BREACH).
func (s *Stream) SetCompression(compress bool) { s.setLimits(&appv1.SetLimits{Compress: &compress}) }

// SetRetention sets the acknowledged messages that the core retains for new generations of the client.
func (s *Stream) SetRetention(retention Retention) { s.setLimits(retention.limits()) }

// SetLabel sets the label by which Streams addresses the stream, such as a user name; empty removes it. SetLabel waits until
// the label is durable and visible to the callers of all cores.
func (s *Stream) SetLabel(ctx context.Context, label string) error {
	if len(label) > 256 || !consistsOf(label, ' ', '~') {
		return &SettingError{"a label has at most 256 bytes, 0x20-0x7E only"}
	}
	return s.changeSetting(ctx, func(settings *session.Settings) (uint64, error) { return settings.SetLabel(label), nil })
}

// Join adds the stream to a group of its service for the rest of its life, and waits as SetLabel does. A later send to the
// group, by any program, reaches the stream.
func (s *Stream) Join(ctx context.Context, group string) error {
	if err := checkGroup(group); err != nil {
		return err
	}
	err := s.changeSetting(ctx, func(settings *session.Settings) (uint64, error) { return settings.Join(group) })
	if err != nil {
		return err
	}
	_, err = s.instance.attempt(s.cell, func() error {
		if s.instance.session.IsGroupRefused(s.cell.number, group) {
			return ErrTooManyGroups
		}
		return nil
	})
	return err
}

// Leave removes the stream from a group, and waits as SetLabel does.
func (s *Stream) Leave(ctx context.Context, group string) error {
	if err := checkGroup(group); err != nil {
		return err
	}
	return s.changeSetting(ctx, func(settings *session.Settings) (uint64, error) { return settings.Leave(group), nil })
}

// changeSetting makes a change once, and waits for the confirmation.
func (s *Stream) changeSetting(ctx context.Context, change func(*session.Settings) (uint64, error)) error {
	number, isMade := uint64(0), false
	return s.instance.wait(ctx, s.cell, func() error {
		if !isMade {
			err := s.instance.change(s.cell, func(stream *session.Stream) (err error) {
				number, err = change(stream.Settings())
				return err
			})
			if err != nil {
				return err
			}
			isMade = true
		}
		return s.instance.session.CheckChange(s.cell.number, number)
	})
}

func (s *Stream) setLimits(limits *appv1.SetLimits) {
	s.instance.tryChange(s.cell, func(stream *session.Stream) { stream.Settings().SetLimits(limits) })
}

func checkReason(reason string) error {
	if len(reason) > 255 || !consistsOf(reason, ' ', '~') {
		return &SettingError{"a reason has at most 255 bytes, 0x20-0x7E only"}
	}
	return nil
}

func checkGroup(group string) error {
	if group == "" || len(group) > 128 || !consistsOf(group, '!', '~') {
		return &SettingError{"a group name has 1 to 128 bytes, 0x21-0x7E only"}
	}
	return nil
}

func consistsOf(text string, from, to rune) bool {
	return !strings.ContainsFunc(text, func(character rune) bool { return character < from || character > to })
}

package session

import "minerva.dev/minerva/internal/appv1"

// Events of the core about one stream.

// onMessages queues messages of the client. It returns whether a reader can read a new one.
func (s *Stream) onMessages(messages *appv1.Messages, contents []Content, window int) (bool, error) {
	first, tag, expected := messages.GetFirstEvent(), messages.GetTag(), s.incoming.expected
	end := first + uint64(len(contents))
	if s.ended == nil && s.tags.contradict(first, min(end, expected), tag) {
		s.hasLostEvents = true
		s.discardSendsAndReset(StateLost)
	}
	if s.hasLostEvents {
		return false, s.skip(first, len(contents))
	}
	isNew, err := s.incoming.onMessages(first, contents, messages.GetAttempts(), window)
	if err != nil {
		return false, err
	}
	if isNew {
		s.tags.note(expected, tag)
	}
	return s.hasReader() && isNew, nil
}

func (s *Stream) onRejoined(rejoined *appv1.Rejoined) (bool, error) {
	if s.hasLostEvents {
		return false, s.skip(rejoined.GetEvent(), 1)
	}
	isNew, err := s.incoming.onNumbered(rejoined.GetEvent(), Rejoined{rejoined})
	if err != nil {
		return false, err
	}
	s.setIdentity(rejoined.GetIdentity())
	return s.hasReader() && isNew, nil
}

// skip drops events. The core delivers the end behind them only within the window, so they are acknowledged unread.
func (s *Stream) skip(first uint64, count int) error {
	if err := s.incoming.skip(first, count); err != nil {
		return err
	}
	s.handled, s.barrier = s.incoming.expected, 0
	s.hasReader()
	return nil
}

// onRenewed queues an event for a new identity of the client. It returns whether a reader can read the event.
func (s *Stream) onRenewed(identity *appv1.Identity) bool {
	if !s.setIdentity(identity) {
		return false
	}
	if s.ended == nil {
		s.incoming.onRenewed(identity)
	}
	return s.hasReader()
}

func (s *Stream) onEnded(ended Ended) (bool, error) {
	isNew := true
	if s.ended == nil && ended.Event < s.incoming.expected {
		s.incoming.endEarly(ended.Event, ended)
		s.handled = min(s.handled, ended.Event)
	} else {
		var err error
		if isNew, err = s.incoming.onNumbered(ended.Event, ended); err != nil {
			return false, err
		}
	}
	s.endAt(ended.Event)
	return s.hasReader() && isNew, nil
}

// endAsLost ends the stream because no core has the stream. Nothing is sent to a core. It returns the end, unless the
// handler gets another one.
func (s *Stream) endAsLost() (Ended, bool) {
	ended := Ended{Reason: StateLost, By: appv1.EndedBy_ENDED_BY_CORE}
	s.detach()
	s.isLost = true
	isNew, at := s.ended == nil, uint64(0)
	if isNew {
		at = s.incoming.expected
		s.incoming.endEarly(0, ended)
	} else {
		at = *s.ended
	}
	s.endAt(at)
	s.hasReader()
	return ended, isNew
}

func (s *Stream) endAt(event uint64) {
	s.ended = &event
	s.outgoing.clear()
	s.barrier, s.reset, s.finish = 0, nil, nil
}

func (s *Stream) onChange(change *appv1.TransportChanged) {
	s.incoming.onChange(change)
	s.hasReader()
}

func (s *Stream) onSendState(state *appv1.SendState) error {
	if s.ended != nil || s.reset != nil {
		return nil
	}
	if s.hasLostSends(state) {
		s.discardSendsAndReset(StateLost)
		return nil
	}
	if err := s.outgoing.confirm(state); err != nil {
		return err
	}
	s.settings.onSendState(s.core.hasSync)
	s.sendTag = state.GetTag()
	s.answers.free(s.outgoing.confirmed)
	return nil
}

// onRefused applies the refusal of a Send. Its acknowledgement is repeated.
func (s *Stream) onRefused(refused *appv1.SendRefused) error {
	isRepeated := true
	switch {
	case s.ended != nil || s.reset != nil:
	case refused.GetReason() == appv1.SendRefusedReason_SEND_REFUSED_REASON_ENDED:
		s.isClosing = true
	case refused.GetReason() == appv1.SendRefusedReason_SEND_REFUSED_REASON_INVALID:
		s.discardSendsAndReset(invalid)
	case refused.GetReason() == appv1.SendRefusedReason_SEND_REFUSED_REASON_UNSUPPORTED:
		s.discardSendsAndReset(unsupported)
	default:
		var err error
		if isRepeated, err = s.outgoing.refuse(refused); err != nil {
			return err
		}
	}
	if isRepeated {
		s.ackSent = 0
	}
	return nil
}

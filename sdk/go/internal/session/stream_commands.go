package session

import "minerva.dev/minerva/internal/appv1"

// Commands of one stream to the core.

// hasCommands returns whether a command is ready.
func (s *Stream) hasCommands() bool {
	if s.attachment == nil {
		return false
	}
	_, hasAck := s.standaloneAck()
	return s.settings.hasCommands(s.core.hasSync) ||
		(s.outgoing.isReady(s.sendsBelow()) && !s.isClosing) ||
		(s.reset != nil && !s.reset.isSent) ||
		s.isFinishReady() ||
		hasAck
}

// nextCommand takes the next command: settings, messages, reset, finish, acknowledgement, in this order; nil if none is
// ready. When the acknowledgement is durable, all settings before it are durable too.
func (s *Stream) nextCommand() *appv1.Command {
	if s.attachment == nil {
		return nil
	}
	if command := s.settings.nextCommand(s.number, s.core.hasSync); command != nil {
		return command
	}
	for _, take := range []func() *appv1.Command{s.takeSend, s.takeReset, s.takeFinish} {
		if command := take(); command != nil {
			return command
		}
	}
	return s.takeAck()
}

// probe returns an empty Send, if only the answer shows whether the client has acknowledged all messages, or whether changes
// of the settings are durable: for a core without Finish or Sync.
func (s *Stream) probe() *appv1.Command {
	waitsForEnd := !s.core.hasFinish && s.finish != nil && !s.finish.isSent && !s.isDrained()
	waitsForChange := !s.core.hasSync && s.settings.awaitsConfirmation()
	if s.isOver() || !s.outgoing.isEmpty() || (!waitsForEnd && !waitsForChange) {
		return nil
	}
	return commandOfSend(&appv1.Send{Stream: s.number, First: s.outgoing.next()})
}

func commandOfSend(send *appv1.Send) *appv1.Command {
	return &appv1.Command{Command: &appv1.Command_Send{Send: send}}
}

func (s *Stream) takeSend() *appv1.Command {
	if s.isClosing {
		return nil
	}
	pending, isPending := s.pendingAck()
	acknowledge := func(end uint64) (uint64, bool) {
		if !isPending {
			return 0, false
		}
		below := pending
		if s.barrier > end {
			below = min(s.answers.acknowledgedAt(end), pending)
		}
		return max(below, 1) - 1, below > 0
	}
	limit, isLimited := s.sendsBelow()
	send := s.outgoing.take(s.number, limit, isLimited, s.core.hasKinds, acknowledge)
	if send == nil {
		return nil
	}
	if send.Acknowledge != nil {
		s.ackSent = *send.Acknowledge + 1
	}
	return commandOfSend(send)
}

func (s *Stream) takeReset() *appv1.Command {
	if s.reset == nil || s.reset.isSent {
		return nil
	}
	s.reset.isSent = true
	return s.resetCommand(s.reset.reason, s.reset.applicationLevel)
}

func (s *Stream) resetCommand(reason string, applicationLevel bool) *appv1.Command {
	reset := &appv1.Reset{Stream: s.number, Reason: reason, ApplicationLevel: applicationLevel}
	return &appv1.Command{Command: &appv1.Command_Reset_{Reset_: reset}}
}

func (s *Stream) takeFinish() *appv1.Command {
	if !s.isFinishReady() {
		return nil
	}
	s.finish.isSent = true
	if s.core.hasFinish {
		finish := &appv1.Finish{Stream: s.number, Reason: s.finish.reason}
		return &appv1.Command{Command: &appv1.Command_Finish{Finish: finish}}
	}
	reason := s.finish.reason
	if reason == "" {
		reason = finished
	}
	return s.resetCommand(reason, true)
}

func (s *Stream) takeAck() *appv1.Command {
	below, isReady := s.standaloneAck()
	if !isReady {
		return nil
	}
	s.ackSent = below
	acknowledge := &appv1.Acknowledge{Stream: s.number, Event: below - 1}
	return &appv1.Command{Command: &appv1.Command_Acknowledge{Acknowledge: acknowledge}}
}

// sendsBelow returns the limit of the messages that may be sent, within the credit, if there is a limit.
func (s *Stream) sendsBelow() (uint64, bool) { return s.answers.limit(s.incoming.delivered) }

// pendingAck returns the end of the events that the pending acknowledgement covers.
func (s *Stream) pendingAck() (uint64, bool) {
	below := min(s.handled, s.incoming.delivered)
	if s.finish != nil && !s.finish.isSent {
		below = min(below, s.finish.handled)
	}
	// An end numbered before received events is acknowledged together with the last of them.
	if s.ended != nil && s.handled < s.incoming.expected {
		below = min(below, *s.ended)
	}
	return below, !s.isLost && below > s.ackSent
}

// standaloneAck returns the pending acknowledgement, if no message must carry the acknowledgement.
func (s *Stream) standaloneAck() (uint64, bool) {
	below, isPending := s.pendingAck()
	return below, isPending && (s.isOver() || s.barrier <= s.outgoing.confirmed)
}

func (s *Stream) isFinishReady() bool {
	return s.finish != nil && !s.finish.isSent && !s.isOver() && s.outgoing.isEmpty() &&
		(s.core.hasFinish || s.isDrained())
}

// isDrained returns whether the outbox of a core without Finish is empty, by the reported room.
func (s *Stream) isDrained() bool {
	limit, isSet := s.settings.outboxMessages()
	if !isSet {
		limit = s.core.outboxMessages
	}
	return s.outgoing.creditMessages >= uint64(limit)
}

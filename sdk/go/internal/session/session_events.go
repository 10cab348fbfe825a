package session

import "minerva.dev/minerva/internal/appv1"

// Events of the cores.

// OnEvent applies an event of a call. After a ContractError the call must be ended; the session stays consistent.
//
// Events of a stream that is attached to another call, or to none, change nothing: their sender has lost the partition and
// has not noticed yet. An event of a later core is skipped.
func (s *Session) OnEvent(id CallID, event *appv1.Event) error {
	if event.GetEvent() == nil {
		return nil
	}
	if registered := event.GetRegistered(); registered != nil {
		s.calls.onRegistered(id, registered)
		return nil
	}
	if !s.calls.isRegistered(id) {
		return broken("an event arrived before Registered")
	}
	switch event := event.GetEvent().(type) {
	case *appv1.Event_Started:
		return s.onStarted(id, event.Started)
	case *appv1.Event_Messages:
		return s.onMessages(id, event.Messages)
	case *appv1.Event_Ended:
		return s.onEnded(id, event.Ended)
	case *appv1.Event_Rejoined:
		return s.onRejoined(id, event.Rejoined)
	case *appv1.Event_SendState:
		return s.updateSends(id, event.SendState.GetStream(), func(stream *Stream) error {
			return stream.onSendState(event.SendState)
		})
	case *appv1.Event_SendRefused:
		return s.updateSends(id, event.SendRefused.GetStream(), func(stream *Stream) error {
			return stream.onRefused(event.SendRefused)
		})
	case *appv1.Event_Released:
		return s.onReleased(id, event.Released)
	case *appv1.Event_PartitionOwned:
		return s.onPartitionOwned(id, event.PartitionOwned)
	}
	s.onInfallible(id, event)
	return nil
}

// onInfallible applies the events that cannot break the contract. CommandRefused is among them: the core has applied no part
// of the command, and the service logs the event.
func (s *Session) onInfallible(id CallID, event *appv1.Event) {
	switch event := event.GetEvent().(type) {
	case *appv1.Event_TransportChanged:
		if stream := s.attached(id, event.TransportChanged.GetStream()); stream != nil {
			stream.onChange(event.TransportChanged)
			s.signal(Readable, stream.number)
		}
	case *appv1.Event_Renewed:
		stream := s.attached(id, event.Renewed.GetStream())
		if stream != nil && stream.onRenewed(event.Renewed.GetIdentity()) {
			s.signal(Readable, stream.number)
		}
	case *appv1.Event_GroupRefused:
		if stream := s.attached(id, event.GroupRefused.GetStream()); stream != nil {
			stream.settings.onRefused(event.GroupRefused.GetGroup())
		}
	case *appv1.Event_Synced:
		if stream := s.attached(id, event.Synced.GetStream()); stream != nil {
			stream.settings.onSynced(event.Synced.GetToken())
			s.signal(Writable, stream.number)
		}
	case *appv1.Event_PartitionLeft:
		s.onPartitionLeft(id, event.PartitionLeft.GetPartition())
	}
}

func (s *Session) onStarted(id CallID, started *appv1.Started) error {
	number := started.GetStream()
	if isCurrent, err := s.calls.onAnnounced(id, partitionOf(number), started.GetEpoch()); err != nil || !isCurrent {
		return err
	}
	core := s.calls.traits(id)
	if held := s.streams[number]; held != nil {
		if held.isLost && held.isSame(started) {
			return nil
		}
		if held.resume(started, id, core) {
			if held.onRenewed(started.GetIdentity()) {
				s.signal(Readable, number)
			}
			s.reschedule(held)
			s.signal(Readable, number)
			s.signal(Writable, number)
			return nil
		}
		s.release(number)
	}
	var stream *Stream
	hadEnded := s.tombstones.remove(number)
	switch {
	case started.GetFinishing():
		stream = finishedBefore(started, id, core)
	case hadEnded && started.GetResumed():
		stream = afterTombstone(started, id, core)
	default:
		s.assignments++
		stream = newStream(started, id, core)
		stream.assignment = s.assignments
		s.signals = append(s.signals, Signal{Kind: Arrived, Stream: number, Started: started, Assignment: s.assignments})
	}
	s.streams[number] = stream
	s.reschedule(stream)
	return nil
}

func (s *Session) onMessages(id CallID, messages *appv1.Messages) error {
	stream, err := s.attachedOrKnown(id, messages.GetStream())
	if stream == nil {
		return err
	}
	contents, err := contentsOf(messages)
	if err != nil {
		return err
	}
	return s.applied(stream)(stream.onMessages(messages, contents, s.window))
}

func (s *Session) onRejoined(id CallID, rejoined *appv1.Rejoined) error {
	stream, err := s.attachedOrKnown(id, rejoined.GetStream())
	if stream == nil {
		return err
	}
	return s.applied(stream)(stream.onRejoined(rejoined))
}

// applied signals the reader of the stream, if the event is new, and schedules the commands.
func (s *Session) applied(stream *Stream) func(isNew bool, err error) error {
	return func(isNew bool, err error) error {
		if err != nil {
			return err
		}
		if isNew {
			s.signal(Readable, stream.number)
		}
		s.reschedule(stream)
		return nil
	}
}

func (s *Session) onEnded(id CallID, ended *appv1.Ended) error {
	stream, err := s.attachedOrKnown(id, ended.GetStream())
	if stream == nil {
		return err
	}
	end := Ended{ended.GetEvent(), ended.GetReason(), ended.GetApplicationLevel(), ended.GetBy()}
	isNew, err := stream.onEnded(end)
	if err != nil {
		return err
	}
	if isNew {
		s.signals = append(s.signals, Signal{Kind: Over, Stream: stream.number, Ended: end})
	}
	s.reschedule(stream)
	return nil
}

// updateSends applies an event about sends and wakes the senders, who must check again: the room may be gone for good. An
// unknown stream is no error: the core may not know yet that the stream is gone.
func (s *Session) updateSends(id CallID, number uint64, update func(*Stream) error) error {
	stream := s.attached(id, number)
	if stream == nil {
		return nil
	}
	err := update(stream)
	s.reschedule(stream)
	s.signal(Writable, number)
	return err
}

func (s *Session) onReleased(id CallID, released *appv1.Released) error {
	number := released.GetStream()
	if released.GetLost() {
		isCurrent, err := s.calls.onAnnounced(id, partitionOf(number), released.GetEpoch())
		if isCurrent {
			s.endAsLost(number)
		}
		return err
	}
	// A detached stream was listed in a registration, and this event answers the registration.
	stream := s.streams[number]
	isFree := s.tombstones.isFreeFor(number, id)
	if stream != nil {
		isFree = stream.attachment == nil || stream.attachment.call == id
	}
	isDetached := s.attached(id, number) == nil
	if isFree && !(isDetached && s.calls.isStale(id, partitionOf(number))) {
		s.release(number)
	}
	return nil
}

// onPartitionOwned releases the streams of the partition that were not started on this call under this epoch. Streams that
// the store has never counted are lost.
func (s *Session) onPartitionOwned(id CallID, owned *appv1.PartitionOwned) error {
	isCurrent, err := s.calls.onAnnounced(id, owned.GetPartition(), owned.GetEpoch())
	if err != nil || !isCurrent {
		return err
	}
	at := attachment{id, owned.GetEpoch()}
	for number, stream := range s.ordered() {
		isHere := stream.attachment != nil && *stream.attachment == at
		switch {
		case partitionOf(number) != owned.GetPartition() || isHere || stream.isLost:
		case number&countMask > owned.GetStreamsMade():
			s.endAsLost(number)
		default:
			s.release(number)
		}
	}
	s.tombstones.retain(owned.GetPartition(), at)
	return nil
}

func (s *Session) onPartitionLeft(id CallID, partition uint32) {
	s.calls.onLeft(id, partition)
	for number, stream := range s.streams {
		if partitionOf(number) == partition && stream.isAttachedTo(id) {
			stream.detach()
		}
	}
	s.tombstones.detach(id, &partition)
}

func (s *Session) endAsLost(number uint64) {
	stream := s.streams[number]
	if stream == nil || stream.isLost {
		return
	}
	if ended, isNew := stream.endAsLost(); isNew {
		s.signals = append(s.signals, Signal{Kind: Over, Stream: number, Ended: ended})
	}
	s.reschedule(stream)
}

func (s *Session) attached(id CallID, number uint64) *Stream {
	if stream := s.streams[number]; stream != nil && stream.isAttachedTo(id) {
		return stream
	}
	return nil
}

// attachedOrKnown returns the stream, if attached to the call. Otherwise its events are valid if they repeat acknowledged
// events or come from a former owner; if not, the core broke the contract.
func (s *Session) attachedOrKnown(id CallID, number uint64) (*Stream, error) {
	stream := s.attached(id, number)
	isKnown := s.streams[number] != nil || s.tombstones.has(number)
	if stream == nil && !isKnown && !s.calls.isStale(id, partitionOf(number)) {
		return nil, broken("an event of a stream that was not started")
	}
	return stream, nil
}

func (s *Session) release(number uint64) {
	s.tombstones.remove(number)
	stream := s.streams[number]
	delete(s.streams, number)
	if stream != nil && stream.assignment != 0 {
		s.signal(Released, number)
	}
}

func contentsOf(messages *appv1.Messages) ([]Content, error) {
	contents := make([]Content, 0, len(messages.GetMessages())+len(messages.GetContents()))
	for _, message := range messages.GetMessages() {
		contents = append(contents, Content{Data: string(message)})
	}
	for _, message := range messages.GetContents() {
		switch content := message.GetContent().(type) {
		case *appv1.Message_Text:
			contents = append(contents, Content{Data: content.Text})
		case *appv1.Message_Binary:
			contents = append(contents, Content{Data: string(content.Binary), Binary: true})
		default:
			return nil, broken("a message without content")
		}
	}
	return contents, nil
}

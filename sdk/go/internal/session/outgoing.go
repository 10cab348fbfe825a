package session

import "minerva.dev/minerva/internal/appv1"

const (
	// maxSendBytes bounds the messages in one Send, unless a single message is longer. Small enough that streams take turns.
	maxSendBytes = 128 * 1024
	// maxSendMessages bounds the messages in one Send. Larger batches gain nothing.
	maxSendMessages = 1024
)

// inFlight is a Send in flight.
type inFlight struct {
	first, end uint64
	// Carries an acknowledgement, which a refusal discards.
	acknowledges bool
	// An earlier Send was refused, so the core will refuse this one as out of order.
	willBeRefused bool
}

// outgoing is the send side of one stream: numbered messages kept until the core confirms them, and the send credit granted
// by the core.
type outgoing struct {
	// The unconfirmed messages, from confirmed on.
	queue     queue[Content]
	confirmed uint64
	bytes     int
	// Number of the first message not sent on this attachment, and the bytes of the messages before it.
	sent      uint64
	sentBytes int
	inFlight  queue[inFlight]
	// The credit.
	creditBytes    int
	creditMessages uint64
	isPaused       bool
}

func newOutgoing(nextSend uint64, state *appv1.SendState) outgoing {
	created := outgoing{confirmed: nextSend, sent: nextSend}
	created.grant(state)
	return created
}

// resume starts a new attachment at the next number expected by the core, which is within the queue.
func (o *outgoing) resume(nextSend uint64, state *appv1.SendState) {
	o.inFlight.clear()
	o.free(nextSend)
	o.sent, o.sentBytes = o.confirmed, 0
	o.grant(state)
}

// next returns the number of the next message.
func (o *outgoing) next() uint64 { return o.confirmed + uint64(o.queue.len()) }

func (o *outgoing) isEmpty() bool { return o.queue.len() == 0 }

// isReady returns whether a message below the limit can be sent now.
func (o *outgoing) isReady(limit uint64, isLimited bool) bool {
	end := o.next()
	if isLimited {
		end = min(end, limit)
	}
	return o.sent < end && o.sentBytes < o.creditBytes && o.sent-o.confirmed < o.creditMessages
}

// hasRoom returns whether one more message may be queued.
func (o *outgoing) hasRoom() bool {
	return o.bytes < o.creditBytes && uint64(o.queue.len()) < o.creditMessages
}

// push queues a message and returns the number. The caller has checked hasRoom.
func (o *outgoing) push(content Content) uint64 {
	number := o.next()
	o.queue.push(content)
	o.bytes += len(content.Data)
	return number
}

// clear drops all messages, because the stream is over.
func (o *outgoing) clear() {
	o.confirmed = o.next()
	o.sent = o.confirmed
	o.queue.clear()
	o.inFlight.clear()
	o.bytes, o.sentBytes = 0, 0
	o.grant(nil)
}

// take takes the next Send of messages below the limit, within the credit; nil if none is ready. acknowledge maps the end of
// the Send to the event that the Send acknowledges.
func (o *outgoing) take(
	stream, limit uint64, isLimited, hasKinds bool, acknowledge func(end uint64) (uint64, bool),
) *appv1.Send {
	batch := o.nextBatch(limit, isLimited)
	if len(batch) == 0 {
		return nil
	}
	send := &appv1.Send{Stream: stream, First: o.sent}
	for _, content := range batch {
		o.sentBytes += len(content.Data)
		if hasKinds {
			send.Contents = append(send.Contents, ProtoOf(content))
		} else {
			send.Messages = append(send.Messages, []byte(content.Data))
		}
	}
	o.sent += uint64(len(batch))
	event, acknowledges := acknowledge(o.sent)
	if acknowledges {
		send.Acknowledge = &event
	}
	o.inFlight.push(inFlight{first: send.First, end: o.sent, acknowledges: acknowledges})
	return send
}

// nextBatch selects messages for one Send. A message that starts within the credit and exceeds the credit travels alone: the
// core accepts a single message, but may refuse a longer batch.
func (o *outgoing) nextBatch(limit uint64, isLimited bool) []Content {
	all, sent := o.queue.all(), o.sent-o.confirmed
	end := uint64(len(all))
	if isLimited {
		end = min(end, max(limit, o.confirmed)-o.confirmed)
	}
	size, offset, count := 0, o.sentBytes, sent
	for index := sent; index < end && offset < o.creditBytes && count < o.creditMessages; index++ {
		offset, size, count = offset+len(all[index].Data), size+len(all[index].Data), count+1
		if offset > o.creditBytes || size > maxSendBytes || index-sent == maxSendMessages {
			if index == sent {
				index++
			}
			return all[sent:index]
		}
	}
	return all[sent:max(sent, count)]
}

// confirm applies a confirmation and the new credit.
func (o *outgoing) confirm(state *appv1.SendState) error {
	nextSend := state.GetNextSend()
	if nextSend < o.confirmed || nextSend > o.next() {
		return broken("a send number outside of the queued range")
	}
	o.free(nextSend)
	for o.inFlight.len() > 0 && o.inFlight.all()[0].end <= nextSend {
		o.inFlight.pop()
	}
	o.grant(state)
	return nil
}

// refuse rewinds after a refused Send; the core refuses all later Sends in flight as well. It returns whether one of these
// carried an acknowledgement. That acknowledgement must be repeated at once, because the messages are sent again before the
// refusals arrive.
func (o *outgoing) refuse(refused *appv1.SendRefused) (bool, error) {
	if refused.GetNextSend() < o.confirmed {
		return false, broken("a send number outside of the queued range")
	}
	index := 0
	for _, send := range o.inFlight.all() {
		if send.first == refused.GetFirst() {
			break
		}
		index++
	}
	if index == o.inFlight.len() {
		return false, nil
	}
	for range index {
		o.inFlight.pop()
	}
	send := o.inFlight.pop()
	if refused.GetReason() != appv1.SendRefusedReason_SEND_REFUSED_REASON_OUT_OF_ORDER {
		// Until the next SendState. An unknown reason of a later core counts as a full outbox.
		o.grant(nil)
		o.isPaused = true
	}
	if send.willBeRefused {
		return false, nil
	}
	acknowledges := send.acknowledges
	later := o.inFlight.all()
	for index := range later {
		later[index].willBeRefused = true
		acknowledges = acknowledges || later[index].acknowledges
	}
	o.sent = min(refused.GetNextSend(), o.sent)
	o.sentBytes = 0
	for _, content := range o.queue.all()[:o.sent-o.confirmed] {
		o.sentBytes += len(content.Data)
	}
	return acknowledges, nil
}

// free frees all messages below nextSend, which is at most the end of the queue.
func (o *outgoing) free(nextSend uint64) {
	for o.confirmed < nextSend {
		size := len(o.queue.pop().Data)
		o.bytes -= size
		o.sentBytes = max(o.sentBytes-size, 0)
		o.confirmed++
	}
	o.sent = max(o.sent, o.confirmed)
}

func (o *outgoing) grant(state *appv1.SendState) {
	o.creditBytes, o.creditMessages = int(state.GetBytesLeft()), uint64(state.GetMessagesLeft())
	o.isPaused = state.GetPaused()
}

// ProtoOf returns the message of the contract.
func ProtoOf(content Content) *appv1.Message {
	if content.Binary {
		return &appv1.Message{Content: &appv1.Message_Binary{Binary: []byte(content.Data)}}
	}
	return &appv1.Message{Content: &appv1.Message_Text{Text: content.Data}}
}

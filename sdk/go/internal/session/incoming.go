package session

import "minerva.dev/minerva/internal/appv1"

const (
	// maxChanges bounds the TransportChanged events queued for a slow handler; the oldest are dropped.
	maxChanges = 64
	// maxMessages bounds the messages queued for a slow handler. Well above the inbox limit of any core.
	maxMessages = 65_536
)

// incoming is the receive side of one stream: events queued for the handler in order, each once. Only the events delivered
// on the current attachment can be acknowledged there.
type incoming struct {
	// Number of the first event not received before. All events below have been queued or read.
	expected uint64
	// All events below were delivered on this attachment or acknowledged before; at most expected.
	delivered uint64
	queue     queue[Event]
	bytes     int
	changes   int
}

func newIncoming(nextEvent uint64) incoming {
	// Event 0 is Started, which has been received by now.
	expected := max(nextEvent, 1)
	return incoming{expected: expected, delivered: expected}
}

// resume starts a new attachment, on which the core delivers from nextEvent on; at most expected.
func (i *incoming) resume(nextEvent uint64) { i.delivered = min(max(nextEvent, 1), i.expected) }

// onMessages queues messages and returns whether any of them is new.
func (i *incoming) onMessages(first uint64, contents []Content, attempts uint32, window int) (bool, error) {
	end, err := i.check(first, len(contents))
	if err != nil {
		return false, err
	}
	isNew := end > i.expected
	for index, content := range contents {
		event := first + uint64(index)
		if event < i.expected {
			continue
		}
		// One message may exceed the window, so the maximal message length is added.
		if i.bytes > window+MaxMessage || i.queue.len() > maxMessages {
			return false, broken("unacknowledged messages of a stream exceed its window")
		}
		i.bytes += len(content.Data)
		i.expected = event + 1
		i.queue.push(Message{event, content, attempts})
	}
	i.delivered = max(i.delivered, end)
	return isNew, nil
}

// onNumbered queues an event of another kind and returns whether the event is new.
func (i *incoming) onNumbered(number uint64, event Event) (bool, error) {
	end, err := i.check(number, 1)
	if err != nil {
		return false, err
	}
	isNew := end > i.expected
	if isNew {
		if i.queue.len() > maxMessages {
			return false, broken("unacknowledged events of a stream exceed its window")
		}
		i.expected = end
		i.queue.push(event)
	}
	i.delivered = max(i.delivered, end)
	return isNew, nil
}

// skip drops events from first on: the core has lost an event that was received before.
func (i *incoming) skip(first uint64, count int) error {
	end, err := i.check(first, count)
	if err != nil {
		return err
	}
	i.expected, i.delivered = max(i.expected, end), max(i.delivered, end)
	return nil
}

// endEarly ends the stream before events that were received already: the core has lost those events. The handler reads the
// end after them; the core gets an acknowledgement of the number it sent.
func (i *incoming) endEarly(event uint64, ended Ended) {
	ended.Event = i.expected
	i.queue.push(ended)
	i.expected++
	i.delivered = min(event+1, i.expected)
}

func (i *incoming) onChange(change *appv1.TransportChanged) {
	if i.changes == maxChanges {
		isDropped := false
		i.queue.retain(func(event Event) bool {
			_, isChange := event.(TransportChanged)
			isOldest := isChange && !isDropped
			isDropped = isDropped || isOldest
			return !isOldest
		})
	} else {
		i.changes++
	}
	i.queue.push(TransportChanged{change})
}

// onRenewed queues the identity of a new token in place of an unread one.
func (i *incoming) onRenewed(identity *appv1.Identity) {
	i.queue.retain(func(event Event) bool {
		_, isRenewed := event.(Renewed)
		return !isRenewed
	})
	i.queue.push(Renewed{identity})
}

// pop takes the next event for the handler; nil if none is queued.
func (i *incoming) pop() Event {
	if i.queue.len() == 0 {
		return nil
	}
	event := i.queue.pop()
	switch event := event.(type) {
	case Message:
		i.bytes -= len(event.Content.Data)
	case TransportChanged:
		i.changes--
	}
	return event
}

// clear drops all queued events, because no handler reads them.
func (i *incoming) clear() {
	i.queue.clear()
	i.bytes, i.changes = 0, 0
}

func (i *incoming) check(first uint64, count int) (uint64, error) {
	if first > i.expected {
		return 0, broken("an event number was skipped")
	}
	return first + uint64(count), nil
}

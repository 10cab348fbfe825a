package session

type answer struct{ number, event uint64 }

// answers pairs each unconfirmed answer of a stream with the answered event, so that the core takes answer and
// acknowledgement in one step. At most one entry per queued message.
type answers struct{ queue queue[answer] }

func (a *answers) push(number, event uint64) { a.queue.push(answer{number, event}) }

// limit returns the number of the first message that must wait, if any: the event was not delivered on this attachment, so
// the core would ignore the acknowledgement. Events below delivered can be acknowledged.
func (a *answers) limit(delivered uint64) (uint64, bool) {
	for _, each := range a.queue.all() {
		if each.event >= delivered {
			return each.number, true
		}
	}
	return 0, false
}

// acknowledgedAt returns the end of the events that are acknowledged once the core has taken all messages below end.
func (a *answers) acknowledgedAt(end uint64) uint64 {
	below := uint64(0)
	for _, each := range a.queue.all() {
		if each.number >= end {
			break
		}
		below = max(below, each.event+1)
	}
	return below
}

// free removes the answers below confirmed, which are durable.
func (a *answers) free(confirmed uint64) {
	for a.queue.len() > 0 && a.queue.all()[0].number < confirmed {
		a.queue.pop()
	}
}

package qan

import "time"

const (
	// maxHeldEvents, maxHeldBytes and maxHold bound the events behind an open question whose event is not acknowledged.
	maxHeldEvents = 100
	maxHeldBytes  = 64 * 1024
	maxHold       = 30 * time.Second
)

type heldEvent struct {
	event    uint64
	size     int
	since    time.Time
	question uint64
	isOpen   bool
}

// unanswered are the events of questions that are not acknowledged yet, with those behind them. An event is acknowledged once
// the question and all events before it are handled, or the hold is too long. Each method returns the event to acknowledge, if
// any.
type unanswered struct {
	events []heldEvent
	bytes  int
}

func (u *unanswered) onEvent(held heldEvent) (due uint64, isDue bool) {
	u.events = append(u.events, held)
	u.bytes += held.size
	for len(u.events) > maxHeldEvents || u.bytes > maxHeldBytes {
		due, isDue = u.pop(), true
	}
	return u.release(due, isDue)
}

func (u *unanswered) onAnswered(question uint64) (due uint64, isDue bool) {
	for index := range u.events {
		if held := &u.events[index]; held.isOpen && held.question == question {
			held.isOpen = false
			break
		}
	}
	return u.release(0, false)
}

func (u *unanswered) onTime(now time.Time) (due uint64, isDue bool) {
	for len(u.events) > 0 && now.Sub(u.events[0].since) >= maxHold {
		due, isDue = u.pop(), true
	}
	return u.release(due, isDue)
}

func (u *unanswered) release(due uint64, isDue bool) (uint64, bool) {
	for len(u.events) > 0 && !u.events[0].isOpen {
		due, isDue = u.pop(), true
	}
	return due, isDue
}

func (u *unanswered) pop() uint64 {
	first := u.events[0]
	u.events = u.events[1:]
	u.bytes -= first.size
	return first.event
}

package qan

import (
	"slices"
	"testing"
	"time"

	"minerva.dev/minerva"
)

func FuzzAFrameIsParsedAsItWasWritten(f *testing.F) {
	f.Add(uint8(0), uint64(0), "body", false)
	f.Add(uint8(1), uint64(1<<53), "a|1Q", true)
	f.Add(uint8(4), uint64(7), "", false)
	f.Add(uint8(5), uint64(0), "#|1K", true)
	f.Fuzz(func(t *testing.T, kind uint8, number uint64, body string, isBinary bool) {
		written := frame{kind: "QKEUC#"[kind%6], number: number % (maxNumber + 1), body: minerva.Text(body)}
		if isBinary {
			written.body = minerva.Binary([]byte(body))
		}
		switch written.kind {
		case 'C':
			written.body = minerva.Text("")
		case '#':
			written.number = 0
		}
		if parsed, isFrame := parse(written.encode()); !isFrame || parsed != written {
			t.Fatal(written, parsed, isFrame)
		}
		parse(minerva.Text(body))
	})
}

func TestOtherMessagesAreNoFrames(t *testing.T) {
	for _, text := range []string{
		"", "Q", "1Q", "|Q", "x|01Q", "x|9007199254740993Q", "xC", "C", "x|1C", "x|1Z", "x|1", "x|1é", "x|\u0661Q",
		"x|99999999999999999999Q", "x|-1Q", "x|+1Q",
	} {
		if found, isFrame := parse(minerva.Text(text)); isFrame {
			t.Errorf("%q: %v", text, found)
		}
	}
}

func TestEventsAreAcknowledgedInOrderOnceHandled(t *testing.T) {
	held, now := unanswered{}, time.Now()
	var due []uint64
	note := func(event uint64, isDue bool) {
		if isDue {
			due = append(due, event)
		}
	}
	note(held.onEvent(heldEvent{1, 5, now, 1, true}))
	note(held.onEvent(heldEvent{event: 2, size: 5, since: now}))
	note(held.onEvent(heldEvent{3, 5, now, 2, true}))
	note(held.onAnswered(2))
	if len(due) != 0 {
		t.Fatal(due)
	}
	note(held.onAnswered(1))
	note(held.onEvent(heldEvent{event: 4, size: 5, since: now}))
	if !slices.Equal(due, []uint64{3, 4}) || held.bytes != 0 {
		t.Fatal(due, held.bytes)
	}
}

func TestTheHoldIsBoundedInTimeCountAndBytes(t *testing.T) {
	now := time.Now()
	held := unanswered{}
	held.onEvent(heldEvent{1, 5, now, 1, true})
	if _, isDue := held.onTime(now.Add(maxHold - 1)); isDue {
		t.Fatal("too early")
	}
	if due, isDue := held.onTime(now.Add(maxHold)); due != 1 || !isDue {
		t.Fatal(due)
	}
	held = unanswered{}
	for event := range uint64(maxHeldEvents) {
		if due, isDue := held.onEvent(heldEvent{event, 1, now, 1, event == 0}); isDue {
			t.Fatal(due)
		}
	}
	if due, _ := held.onEvent(heldEvent{maxHeldEvents, 1, now, 0, false}); due != maxHeldEvents {
		t.Fatal(due)
	}
	held = unanswered{}
	held.onEvent(heldEvent{1, maxHeldBytes, now, 1, true})
	if due, isDue := held.onEvent(heldEvent{2, 1, now, 2, true}); due != 1 || !isDue {
		t.Fatal(due)
	}
}

package session

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"minerva.dev/minerva/internal/appv1"
)

const number = uint64(1<<48 | 1)

func registered() *appv1.Event {
	features := []string{"claim-tags", "finish", "sync", "message-kinds", "sessions", "identities"}
	body := &appv1.Registered{OutboxMessages: 10, MaxMessageBytes: 100, Features: features}
	return &appv1.Event{Event: &appv1.Event_Registered{Registered: body}}
}

func started(resumed bool, nextEvent, nextSend uint64, identity *appv1.Identity) *appv1.Event {
	body := &appv1.Started{
		Stream: number, StreamId: "a", Resumed: resumed, NextEvent: nextEvent, NextSend: nextSend, Epoch: 1, Assignment: 1,
		Accepts: appv1.Accepts_ACCEPTS_TEXT_AND_BINARY, Identity: identity, SendState: state(nextSend).GetSendState(),
	}
	return &appv1.Event{Event: &appv1.Event_Started{Started: body}}
}

func state(nextSend uint64) *appv1.Event {
	body := &appv1.SendState{Stream: number, NextSend: nextSend, BytesLeft: 40, MessagesLeft: 10}
	return &appv1.Event{Event: &appv1.Event_SendState{SendState: body}}
}

func messages(first uint64, texts ...string) *appv1.Event {
	body := &appv1.Messages{Stream: number, FirstEvent: first}
	for _, text := range texts {
		body.Contents = append(body.Contents, ProtoOf(Content{Data: text}))
	}
	return &appv1.Event{Event: &appv1.Event_Messages{Messages: body}}
}

func apply(t *testing.T, session *Session, id CallID, events ...*appv1.Event) []Signal {
	t.Helper()
	for _, event := range events {
		if err := session.OnEvent(id, event); err != nil {
			t.Fatal(err)
		}
	}
	return session.TakeSignals()
}

func TestANewIdentityIsReadOnceAndTheLastOneOnly(t *testing.T) {
	session := New(1000)
	id, _ := session.Begin()
	identity := func(end uint64) *appv1.Identity { return &appv1.Identity{Subject: "ann", ExpiresAt: end} }
	renewed := func(end uint64) *appv1.Event {
		return &appv1.Event{Event: &appv1.Event_Renewed{Renewed: &appv1.Renewed{Stream: number, Identity: identity(end)}}}
	}
	apply(t, session, id, registered(), started(false, 0, 0, identity(5)))
	if signals := apply(t, session, id, renewed(5)); len(signals) != 0 {
		t.Fatal("a known identity", signals)
	}
	if signals := apply(t, session, id, renewed(10)); len(signals) != 1 || signals[0].Kind != Readable {
		t.Fatal(signals)
	}
	apply(t, session, id, renewed(11), renewed(12))
	if event, _ := session.Read(number); event.(Renewed).Identity.GetExpiresAt() != 12 {
		t.Fatal(event)
	}
	if event, _ := session.Read(number); event != nil {
		t.Fatal(event)
	}
	// The identity of a repeated Started is an event as well.
	session.End(id)
	id, _ = session.Begin()
	apply(t, session, id, registered(), started(true, 0, 0, identity(13)))
	if event, _ := session.Read(number); event.(Renewed).Identity.GetExpiresAt() != 13 {
		t.Fatal(event)
	}
}

func TestInvalidTextAndLongMessagesGetNoNumber(t *testing.T) {
	session := New(1000)
	id, _ := session.Begin()
	apply(t, session, id, registered(), started(false, 0, 0, nil))
	var invalid *InvalidTextError
	if err := session.Check(number, Content{Data: "ab\xffc"}); !errors.As(err, &invalid) || invalid.Position != 2 {
		t.Fatal(err)
	}
	var long *TooLongError
	if err := session.Check(number, Content{Data: strings.Repeat("x", 101)}); !errors.As(err, &long) || long.Limit != 100 {
		t.Fatal(err)
	}
	for _, content := range []Content{{Data: "\uFFFD"}, {Data: "ab\xffc", Binary: true}, {Data: strings.Repeat("x", 100)}} {
		if err := session.Check(number, content); err != nil {
			t.Fatal(err)
		}
	}
}

func TestTombstonesAreBounded(t *testing.T) {
	tombstones := newTombstones()
	for stream := range uint64(maxTombstones + 1) {
		tombstones.insert(stream, nil)
	}
	if tombstones.has(0) || !tombstones.has(1) || tombstones.order.Len() != maxTombstones {
		t.Fatal(tombstones.order.Len())
	}
}

// model is a core with one stream, over calls that break at any time. The core loses nothing that it has taken.
type model struct {
	t                       *testing.T
	random                  *rand.Rand
	session                 *Session
	id                      CallID
	taken                   []string
	acknowledged, delivered uint64
	made                    uint64
	onlyAnswers             bool
}

func (m *model) connect() {
	m.session.End(m.id)
	m.id, _ = m.session.Begin()
	apply(m.t, m.session, m.id, registered(), started(m.made > 0, m.acknowledged, uint64(len(m.taken)), nil))
	m.delivered = max(m.acknowledged, 1)
}

func (m *model) deliver() {
	end := min(m.delivered+m.random.Uint64N(3), 1+m.made)
	texts := []string{}
	for event := m.delivered; event < end; event++ {
		texts = append(texts, fmt.Sprintf("m%d", event))
	}
	apply(m.t, m.session, m.id, messages(m.delivered, texts...))
	m.delivered = end
}

// take applies commands of the app, and loses the tail of them with the call now and then.
func (m *model) take() {
	for _, command := range m.session.TakeCommands(m.id, 1+m.random.IntN(200)) {
		if m.random.IntN(20) == 0 {
			m.connect()
			return
		}
		if send := command.GetSend(); send != nil {
			if send.GetFirst() != uint64(len(m.taken)) {
				m.t.Fatalf("send %d in place of %d", send.GetFirst(), len(m.taken))
			}
			for _, content := range send.GetContents() {
				m.taken = append(m.taken, content.GetText())
			}
			if send.Acknowledge != nil {
				m.acknowledge(send.GetAcknowledge())
			}
		}
		if acknowledge := command.GetAcknowledge(); acknowledge != nil {
			m.acknowledge(acknowledge.GetEvent())
		}
	}
}

func (m *model) acknowledge(event uint64) {
	if event >= m.delivered {
		m.t.Fatalf("event %d is acknowledged before the delivery", event)
	}
	m.acknowledged = max(m.acknowledged, event+1)
	if uint64(len(m.taken))+1 < m.acknowledged {
		m.t.Fatalf("event %d is acknowledged without the answer, after %d answers", event, len(m.taken))
	}
}

// Over lost calls, and dead processes that use answers, each message is answered once and never acknowledged before its answer is taken.
func TestEachMessageIsAnsweredOnceOverLostCalls(t *testing.T) {
	for seed := range uint64(300) {
		random := rand.New(rand.NewPCG(seed, 1))
		m := &model{t: t, random: random, session: New(1000), onlyAnswers: seed%2 == 0}
		m.connect()
		var unanswered *Message
		for step := 0; step < 400 || len(m.taken) < int(m.made); step++ {
			if step > 20_000 {
				t.Fatalf("seed %d: %d of %d messages are answered", seed, len(m.taken), m.made)
			}
			switch random.IntN(7) {
			case 0:
				if step < 400 {
					m.made++
				}
			case 1:
				m.deliver()
			case 2, 3:
				m.take()
			case 4:
				apply(t, m.session, m.id, state(uint64(len(m.taken))))
			case 5:
				// The process dies: only answers have an effect once.
				if isDying := m.onlyAnswers && random.IntN(20) == 0; isDying {
					m.session, unanswered = New(1000), nil
					m.connect()
				}
				if random.IntN(10) == 0 {
					m.connect()
				}
			default:
				unanswered = m.handle(unanswered)
			}
		}
		for index, text := range m.taken {
			if text != fmt.Sprintf("m%d", index+1) {
				t.Fatalf("seed %d: answer %d is %s", seed, index, text)
			}
		}
	}
}

// handle reads the next message, or answers the last one, in one step or in two. It returns the message without an answer.
func (m *model) handle(message *Message) *Message {
	if message == nil {
		if event, _ := m.session.Read(number); event != nil {
			read := event.(Message)
			return &read
		}
		return nil
	}
	isAnswered := false
	err := m.session.Change(number, func(stream *Stream) (err error) {
		if m.onlyAnswers || m.random.IntN(2) == 0 {
			_, err = stream.Answer(message.Event, message.Content)
		} else if _, err = stream.Send(message.Content, true); err == nil {
			stream.Acknowledge(message.Event)
		}
		isAnswered = err == nil
		return err
	})
	if err != nil && !errors.Is(err, ErrNoRoom) {
		m.t.Fatal(err)
	}
	if isAnswered {
		return nil
	}
	return message
}

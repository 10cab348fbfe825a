package session

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"os"
	"reflect"
	"slices"
	"testing"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"minerva.dev/minerva/internal/appv1"
)

// step is one input of a scenario; see sdk/vectors/README.md.
type step struct {
	Begin, End, Take, Probes                         *string
	Event                                            json.RawMessage
	Read, Send, Answer, Acknowledge                  *uint64
	Reset, Finish, Abandon, Label, Join, Leave, Idle *uint64
	Confirmed, Changed                               *uint64
	Flushed, Unsettled                               *bool
	Call, Text                                       string
	Number                                           uint64
	Budget                                           *int
	Content                                          json.RawMessage
	Force                                            bool
	Out                                              json.RawMessage
}

type scenario struct {
	Name  string
	Steps []step
}

// player is a session with named calls.
type player struct {
	t       *testing.T
	session *Session
	calls   map[string]CallID
}

func TestTheSessionReproducesTheVectors(t *testing.T) {
	for _, scenario := range scenarios(t) {
		t.Run(scenario.Name, func(t *testing.T) {
			player := player{t, New(1000), map[string]CallID{}}
			for index, step := range scenario.Steps {
				expected, played := normalized(t, step.Out), normalized(t, jsonOf(t, player.play(step)))
				if !reflect.DeepEqual(expected, played) {
					t.Fatalf("step %d: %+v: %v instead of %v", index, step, played, expected)
				}
			}
		})
	}
}

func scenarios(t *testing.T) []scenario {
	file, err := os.ReadFile("../../../vectors/session.json")
	if err != nil {
		t.Fatal(err)
	}
	var vectors struct{ Scenarios []scenario }
	if err := json.Unmarshal(file, &vectors); err != nil || len(vectors.Scenarios) == 0 {
		t.Fatal(err, len(vectors.Scenarios))
	}
	return vectors.Scenarios
}

func (p *player) play(step step) any {
	s := p.session
	switch {
	case step.Begin != nil:
		return p.begin(*step.Begin)
	case step.End != nil:
		s.End(p.calls[*step.End])
		delete(p.calls, *step.End)
	case step.Event != nil:
		return p.event(step)
	case step.Take != nil:
		budget := math.MaxInt
		if step.Budget != nil {
			budget = *step.Budget
		}
		return p.commands(s.TakeCommands(p.calls[*step.Take], budget))
	case step.Probes != nil:
		return p.commands(s.Probes(p.calls[*step.Probes]))
	case step.Read != nil:
		event, err := s.Read(*step.Read)
		return eventJSON(event, err)
	case step.Confirmed != nil:
		return p.confirmed(*step.Confirmed)
	case step.Changed != nil:
		return outcome("ok", s.CheckChange(*step.Changed, step.Number))
	case step.Flushed != nil:
		return s.IsFlushed()
	case step.Unsettled != nil:
		names := []string{}
		for _, name := range slices.Sorted(maps.Keys(p.calls)) {
			if slices.Contains(s.Unsettled(), p.calls[name]) {
				names = append(names, name)
			}
		}
		return names
	default:
		return p.handle(step)
	}
	return nil
}

// handle plays a call of a handler.
func (p *player) handle(step step) any {
	change := func(number *uint64, change func(*Stream) (any, error)) any {
		var out any
		err := p.session.Change(*number, func(stream *Stream) (err error) {
			out, err = change(stream)
			return err
		})
		if errors.Is(err, ErrOver) {
			return nil
		}
		return outcome(out, err)
	}
	silent := func(number *uint64, then func(*Stream)) any {
		return change(number, func(stream *Stream) (any, error) { then(stream); return nil, nil })
	}
	switch {
	case step.Send != nil:
		return p.queue(*step.Send, step, func(stream *Stream, content Content) (uint64, error) {
			return stream.Send(content, !step.Force)
		})
	case step.Answer != nil:
		return p.queue(*step.Answer, step, func(stream *Stream, content Content) (uint64, error) {
			return stream.Answer(step.Number, content)
		})
	case step.Acknowledge != nil:
		return silent(step.Acknowledge, func(stream *Stream) { stream.Acknowledge(step.Number) })
	case step.Reset != nil:
		return silent(step.Reset, func(stream *Stream) { stream.Reset(step.Text, true) })
	case step.Finish != nil:
		return silent(step.Finish, func(stream *Stream) { stream.Finish(step.Text) })
	case step.Abandon != nil:
		return silent(step.Abandon, (*Stream).Abandon)
	case step.Idle != nil:
		limits := &appv1.SetLimits{MaxIdleMs: &step.Number}
		return silent(step.Idle, func(stream *Stream) { stream.Settings().SetLimits(limits) })
	case step.Label != nil:
		return change(step.Label, func(stream *Stream) (any, error) { return stream.Settings().SetLabel(step.Text), nil })
	case step.Join != nil:
		return change(step.Join, func(stream *Stream) (any, error) { return stream.Settings().Join(step.Text) })
	case step.Leave != nil:
		return change(step.Leave, func(stream *Stream) (any, error) { return stream.Settings().Leave(step.Text), nil })
	}
	p.t.Fatalf("unknown step %+v", step)
	return nil
}

func (p *player) begin(name string) any {
	id, numbers := p.session.Begin()
	p.calls[name] = id
	slices.Sort(numbers)
	held := []json.RawMessage{}
	for _, each := range p.session.Held(numbers) {
		held = append(held, protoJSON(p.t, each))
	}
	return map[string]any{"held_streams": append([]uint64{}, numbers...), "held": held}
}

func (p *player) event(step step) any {
	event := &appv1.Event{}
	if err := protojson.Unmarshal(step.Event, event); err != nil {
		p.t.Fatal(err)
	}
	err := p.session.OnEvent(p.calls[step.Call], event)
	signals := []string{}
	for _, signal := range p.session.TakeSignals() {
		signals = append(signals, signalText(signal))
	}
	return map[string]any{"signals": signals, "broken": err != nil}
}

func (p *player) commands(commands []*appv1.Command) any {
	found := []json.RawMessage{}
	for _, command := range commands {
		found = append(found, protoJSON(p.t, command))
	}
	return found
}

func (p *player) queue(number uint64, step step, queue func(*Stream, Content) (uint64, error)) any {
	content, out := contentOf(p.t, step.Content), uint64(0)
	err := p.session.Check(number, content)
	if err == nil {
		err = p.session.Change(number, func(stream *Stream) (err error) {
			out, err = queue(stream, content)
			return err
		})
	}
	return outcome(out, err)
}

func (p *player) confirmed(number uint64) any {
	for end := uint64(0); ; end++ {
		switch err := p.session.CheckConfirmed(number, end+1); {
		case errors.Is(err, ErrOver):
			return nil
		case err != nil:
			return end
		}
	}
}

func contentOf(t *testing.T, content json.RawMessage) Content {
	var text string
	if json.Unmarshal(content, &text) == nil {
		return Content{Data: text}
	}
	var binary struct{ Binary string }
	if err := json.Unmarshal(content, &binary); err != nil {
		t.Fatal(err)
	}
	data, err := base64.StdEncoding.DecodeString(binary.Binary)
	if err != nil {
		t.Fatal(err)
	}
	return Content{Data: string(data), Binary: true}
}

func outcome(out any, err error) any {
	var long *TooLongError
	var unsupported *UnsupportedError
	switch {
	case err == nil:
		return out
	case errors.Is(err, ErrNoRoom):
		return "no room"
	case errors.Is(err, ErrOver):
		return "over"
	case errors.Is(err, ErrFinished):
		return "finished"
	case errors.Is(err, ErrTooManyGroups):
		return "too many groups"
	case errors.As(err, &long):
		return "too long"
	case errors.As(err, &unsupported):
		return "unsupported"
	}
	return err.Error()
}

func signalText(signal Signal) string {
	switch signal.Kind {
	case Arrived:
		return fmt.Sprintf("arrived %d %d", signal.Stream, signal.Assignment)
	case Over:
		return fmt.Sprintf("ended %d %s", signal.Stream, signal.Ended.Reason)
	default:
		name := map[SignalKind]string{Readable: "readable", Writable: "writable", Released: "released"}[signal.Kind]
		return fmt.Sprintf("%s %d", name, signal.Stream)
	}
}

func eventJSON(event Event, err error) any {
	switch event := event.(type) {
	case Message:
		out := map[string]any{"event": event.Event, "attempts": nil, "text": event.Content.Data}
		if event.Content.Binary {
			delete(out, "text")
			out["binary"] = []byte(event.Content.Data)
		}
		if event.Attempts != 0 {
			out["attempts"] = event.Attempts
		}
		return out
	case Rejoined:
		return map[string]any{"event": event.Proto.Event, "generation": event.Proto.Generation, "from": event.Proto.From}
	case Renewed:
		return map[string]any{"renewed": event.Identity.ExpiresAt}
	case TransportChanged:
		return map[string]any{"transports": event.Proto.Transports}
	case Ended:
		return map[string]any{"event": event.Event, "reason": event.Reason, "application_level": event.ApplicationLevel}
	}
	if err != nil {
		return "over"
	}
	return "waiting"
}

func protoJSON(t *testing.T, message proto.Message) json.RawMessage {
	encoded, err := protojson.MarshalOptions{UseProtoNames: true}.Marshal(message)
	if err != nil {
		t.Fatal(err)
	}
	return encoded
}

func jsonOf(t *testing.T, value any) []byte {
	encoded, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return encoded
}

func normalized(t *testing.T, encoded []byte) any {
	var value any
	decoder := json.NewDecoder(bytes.NewReader(encoded))
	decoder.UseNumber()
	if err := decoder.Decode(&value); err != nil {
		t.Fatal(err, string(encoded))
	}
	return value
}

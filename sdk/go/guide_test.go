package minerva_test

import (
	"context"
	"fmt"
	"reflect"
	"strings"
	"syscall"
	"testing"
	"time"
	"unicode/utf8"

	"minerva.dev/minerva"
)

// The snippets in Go of docs/app-guide.md, as the page shows them; tests/pages compares. The tests run them.

func userOf(token string) (string, bool) { return strings.CutPrefix(token, "token of ") }

func accept(ctx context.Context, stream *minerva.Stream) error {
	user, isKnown := userOf(stream.Credentials())
	if !isKnown {
		return stream.Reset("log in first")
	}
	err := stream.SetLabel(ctx, user) // Streams addresses the stream by this label
	stream.SetMaxIdle(10 * time.Minute)
	stream.SetOutbox(64<<10, 100) // bytes and messages; less than the default
	for message := range stream.Messages(ctx) {
		err = stream.Send(ctx, message.Content)
	}
	return err
}

func kinds(ctx context.Context, stream *minerva.Stream) (err error) {
	for message := range stream.Messages(ctx) {
		if message.IsBinary() {
			err = stream.Send(ctx, message.Content) // the same bytes, binary
		} else {
			count := utf8.RuneCountInString(message.Text())
			err = stream.Send(ctx, minerva.Text(fmt.Sprintf("%d characters", count)))
		}
	}
	return err
}

func groups(ctx context.Context, stream *minerva.Stream, api string) error {
	if err := stream.Join(ctx, "lobby"); err != nil { // a later group send of any program reaches the stream
		return err
	}

	streams := minerva.Streams{Cores: api} // from this program, or any other one
	defer streams.Close()
	sent, err := streams.SendToGroup(ctx, "default", "lobby", []minerva.Content{minerva.Text("the game begins")})
	if err != nil {
		return err
	}
	for _, number := range sent.Full {
		fmt.Printf("the outbox of stream %d is full: the client did not get the message\n", number)
	}
	_, err = streams.Send(ctx, minerva.ByLabel("default", "ann"), []minerva.Content{minerva.Text("it is your turn")})
	return err
}

func suspect(ctx context.Context, stream *minerva.Stream) (err error) {
	if stream.Attempts() > 3 {
		return stream.Reset("this message cannot be processed")
	}
	for message := range stream.Messages(ctx) {
		err = stream.Send(ctx, message.Content)
	}
	return err
}

func exactlyOnce(ctx context.Context, stream *minerva.Stream, database *store) error {
	for message := range stream.Messages(ctx) {
		err := database.transaction(func(transaction *store) {
			if message.Event >= transaction.nextEvent(stream.Number()) {
				transaction.insertEffect(message.Text())
				transaction.setNextEvent(stream.Number(), message.Event+1)
			}
		})
		if err != nil {
			return err
		}
		err = stream.Answer(ctx, message.Event, minerva.Text(fmt.Sprintf("stored %d", message.Event)))
		if err != nil {
			return err
		}
	}
	return nil
}

// store stands for a database.
type store struct {
	effects []string
	next    map[uint64]uint64
}

func (d *store) transaction(change func(*store)) error {
	change(d)
	return nil
}

func (d *store) nextEvent(stream uint64) uint64    { return d.next[stream] }
func (d *store) setNextEvent(stream, event uint64) { d.next[stream] = event }
func (d *store) insertEffect(text string)          { d.effects = append(d.effects, text) }

// serves serves one client: ">text" is sent, other texts must arrive.
func serves(t *testing.T, handler minerva.Handler, credentials string, steps ...string) {
	t.Helper()
	d := running(t)
	d.serve(t, handler)
	d.connect(t, credentials).play(steps...)
}

func (c *client) play(steps ...string) {
	c.t.Helper()
	for _, step := range steps {
		if text, isSent := strings.CutPrefix(step, ">"); isSent {
			c.send(text)
		} else {
			c.expect(step)
		}
	}
}

func TestTheFirstProgramOfTheGuide(t *testing.T) {
	d := running(t)
	command := d.program(t, compiled(t, "hello"))
	d.connect(t, "ann").play(">good morning", "hello, ann", "good morning")
	_ = command.Process.Signal(syscall.SIGTERM)
	if err := command.Wait(); err != nil {
		t.Fatal(err)
	}
}

func TestTheSnippetsOfTheGuide(t *testing.T) {
	serves(t, accept, "wrong", "log in first|1!")
	serves(t, accept, "token of ann", ">hi", "hi")
	serves(t, kinds, "", ">hello", "5 characters")
	serves(t, suspect, "", ">a", "a")
	stored := &store{next: map[uint64]uint64{}}
	serves(t, func(ctx context.Context, stream *minerva.Stream) error {
		return exactlyOnce(ctx, stream, stored)
	}, "", ">a", ">b", "stored 1", "stored 2")
	if !reflect.DeepEqual(stored.effects, []string{"a", "b"}) {
		t.Fatal(stored.effects)
	}
}

func TestGroupsOfTheGuide(t *testing.T) {
	d := running(t)
	d.serve(t, func(ctx context.Context, stream *minerva.Stream) error {
		if err := stream.SetLabel(ctx, "ann"); err != nil {
			return err
		}
		return groups(ctx, stream, d.api)
	})
	d.connect(t, "").play("the game begins", "it is your turn")
}

package minerva_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"minerva.dev/minerva"
)

func reasonOf(err error) string {
	var found *minerva.StreamsError
	if errors.As(err, &found) {
		return found.Reason
	}
	return "no StreamsError"
}

func texts(texts ...string) (contents []minerva.Content) {
	for _, text := range texts {
		contents = append(contents, minerva.Text(text))
	}
	return contents
}

func TestStreamsReachLabelsAndGroups(t *testing.T) {
	d := running(t)
	d.serve(t, func(ctx context.Context, stream *minerva.Stream) error {
		if err := errors.Join(stream.SetLabel(ctx, "ann"), stream.Join(ctx, "lobby"), stream.Send(ctx, minerva.Text("joined"))); err != nil {
			return err
		}
		return echo(ctx, stream)
	})
	streams := &minerva.Streams{Cores: d.api, Timeout: 5 * time.Second}
	defer streams.Close()
	ctx, ann := t.Context(), minerva.ByLabel("default", "ann")
	client := d.connect(t, "")
	client.expect("joined")
	// A second send under one key takes effect once.
	for range 2 {
		sent, err := streams.Send(ctx, ann, texts("hello"), minerva.WithKey([]byte("k")))
		for _, outcome := range sent {
			if outcome != minerva.SendTaken || len(sent) != 1 {
				t.Fatal(sent)
			}
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if sent, err := streams.SendToGroup(ctx, "default", "lobby", texts("all")); err != nil || sent.Taken != 1 {
		t.Fatal(sent, err)
	}
	client.expect("hello")
	client.expect("all")
	infos, err := streams.Get(ctx, ann)
	if err != nil || len(infos) != 1 || infos[0].Label != "ann" || !slices.Equal(infos[0].Groups, []string{"lobby"}) || !infos[0].IsServed {
		t.Fatal(infos, err)
	}
	number := infos[0].Stream
	listed, err := streams.List(ctx, "default")
	if err != nil || !slices.ContainsFunc(listed, func(info minerva.StreamInfo) bool { return info.Stream == number }) {
		t.Fatal(listed, err)
	}
	many, err := streams.SendMany(ctx, []uint64{number, 12345}, texts("many"))
	if err != nil || many[number] != minerva.SendTaken || many[12345] != minerva.SendNotFound {
		t.Fatal(many, err)
	}
	client.expect("many")
	// A client of version 2 does not accept binary messages, and takes none of the send.
	if _, err := streams.Send(ctx, minerva.ByNumber(number), []minerva.Content{minerva.Binary([]byte{1})}); reasonOf(err) != minerva.ReasonUnsupported {
		t.Fatal(err)
	}
	if left, err := streams.Leave(ctx, ann, "lobby"); err != nil || !slices.Equal(left, []uint64{number}) {
		t.Fatal(left, err)
	}
	if sent, err := streams.SendToGroup(ctx, "default", "lobby", texts("nobody")); err != nil || sent.Taken != 0 {
		t.Fatal(sent, err)
	}
	if over, err := streams.Reset(ctx, ann, "bye"); err != nil || !slices.Equal(over, []uint64{number}) {
		t.Fatal(over, err)
	}
	client.expect("bye|1!")
	if _, err := streams.Send(ctx, minerva.ByNumber(number), texts("late")); reasonOf(err) != minerva.ReasonEnded && reasonOf(err) != minerva.ReasonNotFound {
		t.Fatal(err)
	}
	if _, err := streams.SendToGroup(ctx, "default", "a b", texts("x")); reasonOf(err) != "" {
		t.Fatal(err)
	}
}

func TestARequestWithoutCoresHasNoEffect(t *testing.T) {
	streams := &minerva.Streams{Cores: freeAddress(t), Timeout: time.Second}
	defer streams.Close()
	_, err := streams.Send(t.Context(), minerva.ByNumber(5), texts("x"))
	if reasonOf(err) != minerva.ReasonUnavailable {
		t.Fatal(err)
	}
	if _, err := streams.Send(t.Context(), minerva.ByNumber(5), texts("\xff")); reasonOf(err) != "" {
		t.Fatal(err)
	}
}

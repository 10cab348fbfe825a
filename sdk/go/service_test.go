package minerva_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"minerva.dev/minerva"
)

func TestMessagesAreAnsweredInOrder(t *testing.T) {
	d := running(t)
	d.serve(t, echo)
	client := d.connect(t, "")
	for number := range 300 {
		client.send(fmt.Sprintf("m%d", number))
	}
	for number := range 300 {
		client.expect(fmt.Sprintf("%d:m%d", number+1, number))
	}
}

func TestTheEndOfAHandlerDeliversAllMessages(t *testing.T) {
	d := running(t)
	d.serve(t, func(ctx context.Context, stream *minerva.Stream) error {
		for number := range 200 {
			if err := stream.Send(ctx, minerva.Text(fmt.Sprint(number))); err != nil {
				return err
			}
		}
		return nil
	})
	client := d.connect(t, "")
	for number := range 200 {
		client.expect(fmt.Sprint(number))
	}
}

func TestAnErrorAndAPanicOfAHandlerAreLoggedAndResetTheStreamOnly(t *testing.T) {
	d := running(t)
	var log bytes.Buffer
	slog.SetDefault(slog.New(slog.NewTextHandler(&log, nil)))
	stop := d.serve(t, func(ctx context.Context, stream *minerva.Stream) error {
		switch stream.Credentials() {
		case "fail":
			return errors.New("confidential")
		case "panic":
			panic("unexpected")
		}
		return echo(ctx, stream)
	})
	third := d.connect(t, "")
	d.connect(t, "fail").expect("the application failed|0!")
	d.connect(t, "panic").expect("the application failed|0!")
	third.send("a")
	third.expect("1:a")
	stop()
	if !strings.Contains(log.String(), "confidential") || !strings.Contains(log.String(), "unexpected") {
		t.Fatal(log.String())
	}
}

func TestInvalidMessagesAndNamesAreRejectedAndTheStreamGoesOn(t *testing.T) {
	d := running(t)
	problems := make(chan error, 10)
	d.serve(t, func(ctx context.Context, stream *minerva.Stream) error {
		var unsupported *minerva.UnsupportedMessageError
		var setting *minerva.SettingError
		for content, position := range map[minerva.Content]int{
			minerva.Text("é"): 0, minerva.Text("a\n"): 1, minerva.Binary([]byte("a")): -1,
		} {
			if err := stream.Send(ctx, content); !errors.As(err, &unsupported) || unsupported.Position != position {
				problems <- fmt.Errorf("%v: %w", content, err)
			}
		}
		if err := stream.Join(ctx, "a b"); !errors.As(err, &setting) {
			problems <- err
		}
		if err := stream.Reset(strings.Repeat("x", 256)); !errors.As(err, &setting) {
			problems <- err
		}
		return stream.SendJSON(ctx, []int{1})
	})
	d.connect(t, "").expect("[1]")
	select {
	case err := <-problems:
		t.Fatal(err)
	default:
	}
}

func TestAFullOutboxIsReportedAndWaitedFor(t *testing.T) {
	d := running(t)
	problem := make(chan error, 1)
	d.serve(t, func(ctx context.Context, stream *minerva.Stream) error {
		stream.SetOutbox(10_000, 50)
		var err error
		sent := 0
		for ; err == nil && sent < 100_000; sent++ {
			err = stream.TrySend(minerva.Text(strings.Repeat("x", 100)))
		}
		soon, cancel := context.WithTimeout(ctx, 300*time.Millisecond)
		defer cancel()
		waited := stream.Ready(soon)
		_ = stream.Reset("enough")
		late := stream.Send(ctx, minerva.Text("more"))
		if sent < 10 || !errors.Is(err, minerva.ErrOutboxFull) || !errors.Is(waited, context.DeadlineExceeded) ||
			!errors.Is(late, minerva.ErrStreamOver) {
			problem <- fmt.Errorf("%d sent, %w, %w, %w", sent, err, waited, late)
		}
		problem <- nil
		return nil
	})
	d.connect(t, "")
	if err := <-problem; err != nil {
		t.Fatal(err)
	}
}

func TestTransportsAndThePropertiesOfAStream(t *testing.T) {
	d := running(t)
	d.serve(t, func(ctx context.Context, stream *minerva.Stream) error {
		event, err := stream.Next(ctx)
		change, _ := event.(minerva.TransportChanged)
		isHidden := !strings.Contains(fmt.Sprintf("%v %+v %#v", stream, stream, stream), stream.ID())
		if err := stream.SendJSON(ctx, []any{
			stream.Credentials(), stream.PeerAddress(), stream.IsResumed(), stream.FirstEvent(), change.Transports, isHidden, err,
		}); err != nil {
			return err
		}
		return stream.Durable(ctx)
	})
	d.connect(t, "secret").expect(`["secret","127.0.0.1",false,0,1,true,null]`)
}

func TestAStopReleasesStreamsToTheNextStart(t *testing.T) {
	d := running(t)
	stop := d.serve(t, echo)
	client := d.connect(t, "")
	client.send("one")
	client.expect("1:one")
	stop()
	client.send("two")
	d.serve(t, echo)
	client.expect("2:two")
}

func TestInvalidOptionsAreRejectedAtTheStart(t *testing.T) {
	for _, service := range []*minerva.Service{
		{Cores: ","}, {Cores: "ftp://a:1"}, {Cores: "a:b"}, {Cores: "http://a:1/x"}, {Cores: "https://a:1"}, {Name: "A"},
		{InstanceID: "a b"}, {StreamWindowBytes: -1}, {Token: "a b"}, {TLS: &minerva.TLSFiles{CA: "/none"}},
	} {
		var start *minerva.StartError
		if err := service.Start(context.Background()); !errors.As(err, &start) {
			t.Errorf("%+v: %v", service, err)
		}
	}
}

func TestAStartWithoutCoresEndsWithTheContextAndWithAStop(t *testing.T) {
	service := &minerva.Service{Cores: freeAddress(t)}
	ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
	defer cancel()
	if err := service.Start(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatal(err)
	}
	service = &minerva.Service{Cores: freeAddress(t)}
	go func() {
		time.Sleep(200 * time.Millisecond)
		_ = service.Stop(context.Background())
	}()
	if err := service.Start(context.Background()); !errors.Is(err, minerva.ErrStopped) {
		t.Fatal(err)
	}
}

func TestContentsAndStreamsHaveNoSecretsInLogs(t *testing.T) {
	message := minerva.Message{Content: minerva.Text("secret"), Event: 1}
	rejoined := minerva.Rejoined{Credentials: "secret"}
	if text := fmt.Sprintf("%v %+v %#v %v %v", message, message, message.Content, &message, rejoined); strings.Contains(text, "secret") {
		t.Fatal(text)
	}
}

func TestTheFirstProgramOfTheReadmeIsTheExample(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	program, err := os.ReadFile("examples/echo/main.go")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(readme, append([]byte("```go\n"), append(program, "```\n"...)...)) {
		t.Fatal("the program in README.md differs from examples/echo/main.go")
	}
	if lines := bytes.Count(bytes.ReplaceAll(program, []byte("\n\n"), []byte("\n")), []byte("\n")); lines > 15 {
		t.Fatalf("%d lines", lines)
	}
}

func TestJSONIsASCIIAndDecodesToTheSameText(t *testing.T) {
	const text = "é\x7f\u0000<🦀"
	content, err := minerva.JSON(text)
	if err != nil || content.Text() != `"\u00e9\u007f\u0000\u003c\ud83e\udd80"` {
		t.Fatal(content.Text(), err)
	}
	var decoded string
	if err := (minerva.Message{Content: content}).DecodeJSON(&decoded); err != nil || decoded != text {
		t.Fatal(decoded, err)
	}
}

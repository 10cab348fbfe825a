package minerva_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"minerva.dev/minerva"
	"minerva.dev/minerva/qan"
)

func question(ctx context.Context, peer *qan.Peer, body minerva.Content) (minerva.Content, error) {
	switch body.Text() {
	case "known":
		return body, &qan.KnownError{Body: minerva.Text("because")}
	case "fail":
		return body, errors.New("confidential")
	case "panic":
		panic("unexpected")
	case "slow":
		<-ctx.Done()
	case "back":
		answer, err := peer.Ask(ctx, minerva.Text("what?"))
		return minerva.Text(answer.Text() + "!"), err
	}
	return minerva.Text(body.Text() + " answered"), nil
}

func serveQuestions(ctx context.Context, stream *minerva.Stream) error {
	_, err := qan.New(stream).Serve(ctx, qan.Handler{Question: question})
	return err
}

func TestQuestionsInBothDirections(t *testing.T) {
	serves(t, serveQuestions, "",
		">a|1Q", "a answered|1K",
		">known|2Q", "because|2E",
		">fail|3Q", "Uncaught exception|3U",
		">panic|4Q", "Uncaught exception|4U",
		">back|5Q", "what?|1Q", ">that|1K", "that!|5K",
		">back|6Q", "what?|2Q", ">no|2U", "Uncaught exception|6U",
		">slow|7Q", ">7C", "CancelledError|7U",
		">slow|8Q", ">x|8Q", "QANHelper said: Received Question with duplicate qid: 8|1!",
	)
	serves(t, serveQuestions, "", ">x|9K", "QANHelper said: Received an answer with invalid qid: 9|1!")
}

func TestAnOpenQuestionIsInterruptedByAStop(t *testing.T) {
	d := running(t)
	stop := d.serve(t, serveQuestions)
	client := d.connect(t, "")
	client.play(">a|1Q", "a answered|1K", ">slow|2Q")
	time.Sleep(300 * time.Millisecond)
	stop()
	client.expect("interrupted|2U")
	d.serve(t, serveQuestions)
	client.play(">b|3Q", "b answered|3K")
}

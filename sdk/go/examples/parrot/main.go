// Parrot is an app service in Go that answers every message with a copy, without loss or duplicates. examples/README.md in the
// root of the repository describes the behaviour and the start.
package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"regexp"
	"strconv"
	"strings"

	"minerva.dev/minerva"
)

var burst = regexp.MustCompile("^burst:([0-9]{1,5})$")

func main() {
	ctx := context.Background()
	// A constant id of this instance, such as the name of a host or pod: the streams return at once after a restart.
	service := minerva.Service{Name: os.Getenv("MINERVA_SERVICE"), InstanceID: os.Getenv("MINERVA_INSTANCE")}
	if err := service.Start(ctx); err != nil {
		log.Fatal(err)
	}
	fmt.Printf("parrot: serving `%s`\n", service.Name)
	if err := service.Run(ctx, parrot); err != nil {
		log.Fatal(err)
	}
}

// parrot serves one stream from the current position to the end. An event that an earlier process left unacknowledged is
// delivered again and has no answer yet, because Answer does both in one durable step.
func parrot(ctx context.Context, stream *minerva.Stream) error {
	if reason, isRefused := strings.CutPrefix(stream.Credentials(), "refuse:"); isRefused {
		return stream.Reset(reason)
	}
	for message := range stream.Messages(ctx) {
		if err := answer(ctx, stream, message); err != nil {
			return err
		}
	}
	return nil
}

func answer(ctx context.Context, stream *minerva.Stream, message minerva.Message) error {
	if message.IsBinary() {
		return stream.Answer(ctx, message.Event, message.Content)
	}
	if reason, isReset := strings.CutPrefix(message.Text(), "reset:"); isReset {
		if stream.Reset(reason) != nil {
			return stream.Reset("no reason")
		}
		return nil
	}
	if found := burst.FindStringSubmatch(message.Text()); found != nil {
		// Send waits for a slow client. The next event acknowledges this one, so a burst interrupted by a crash is repeated from
		// the start. An app that must not repeat messages sends a single answer, or stores the progress.
		count, _ := strconv.Atoi(found[1])
		for number := range count {
			if err := stream.Send(ctx, minerva.Text(strconv.Itoa(number))); err != nil {
				return err
			}
		}
		return nil
	}
	return stream.Answer(ctx, message.Event, minerva.Text(fmt.Sprintf("%d:%s", message.Event, message.Text())))
}

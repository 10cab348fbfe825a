package main

import (
	"context"
	"log"

	"minerva.dev/minerva"
)

func main() {
	log.Print(minerva.Serve(context.Background(), "127.0.0.1:7400", echo))
}

func echo(ctx context.Context, stream *minerva.Stream) (err error) {
	for message := range stream.Messages(ctx) { // text or binary, as the client sent it
		err = stream.Send(ctx, message.Content)
	}
	return err
}

package main

import (
	"context"
	"log"

	"minerva.dev/minerva"
)

func main() {
	var service minerva.Service
	if err := service.Run(context.Background(), greet); err != nil {
		log.Fatal(err)
	}
}

func greet(ctx context.Context, stream *minerva.Stream) error {
	err := stream.Send(ctx, minerva.Text("hello, "+stream.Credentials()))
	for message := range stream.Messages(ctx) {
		err = stream.Send(ctx, message.Content)
	}
	return err
}

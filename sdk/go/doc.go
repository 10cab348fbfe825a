// Package minerva is the SDK for application services of Minerva: ordered, exactly-once messages in both directions between
// clients and this process, over changes of network, deploys and crashes.
//
// A [Service] registers this process with every core, and runs a handler for each stream:
//
//	func main() {
//		log.Print(minerva.Serve(context.Background(), "127.0.0.1:7400", echo))
//	}
//
//	func echo(ctx context.Context, stream *minerva.Stream) (err error) {
//		for message := range stream.Messages(ctx) {
//			err = stream.Send(ctx, message.Content)
//		}
//		return err
//	}
//
// [Streams] sends to streams from other programs and from request handlers. The package
// minerva.dev/minerva/qan has questions and answers.
package minerva

package minerva

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"runtime"
	"slices"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"minerva.dev/minerva/internal/appv1"
	"minerva.dev/minerva/internal/session"
)

const (
	// registerTimeout is the deadline of connection and answer to a registration.
	registerTimeout = 10 * time.Second
	// closeTimeout is the deadline for the core to end a call after this side has ended its half.
	closeTimeout = time.Second
	// probeInterval is the pause between two probes of the outboxes of finished streams, at a core of release 0.1.
	probeInterval = 200 * time.Millisecond
	// requestBytes is the target size of a request. With one message of maximal length on top, a request stays below 4 MiB.
	requestBytes = 256 * 1024
)

var features = []string{"claim-tags", "ack-timeout", "finish", "sync", "message-kinds", "sessions", "identities"}

// callError is the reason for the end of a call.
type callError struct {
	problem string
	code    codes.Code
}

func (e *callError) Error() string { return e.problem }

// isRefusal returns whether a retry cannot succeed unless the configuration of a side changes.
func (e *callError) isRefusal() bool {
	refusals := []codes.Code{codes.InvalidArgument, codes.Unimplemented, codes.PermissionDenied, codes.Unauthenticated}
	return slices.Contains(refusals, e.code)
}

func callErrorOf(err error) error {
	if errors.Is(err, io.EOF) {
		return &callError{problem: "the core ended the call"}
	}
	found := status.Convert(err)
	return &callError{fmt.Sprintf("%s: %s", found.Code(), found.Message()), found.Code()}
}

// errSuperseded reports that another call to the same core over another address is in progress.
var errSuperseded = errors.New("superseded by a call to the same core over another address")

// call is one Serve call: it registers the instance, then passes events to the session and commands to the core.
type call struct {
	instance *instance
	logger   *slog.Logger
	stream   grpc.ClientStream
	id       session.CallID
	lock     *coreLock
	wake     chan struct{}
	// Closed once the core has answered the registration.
	registered chan struct{}
	// The reason for the end of the receiving half; one value.
	received chan error
}

// open makes the call and registers. The end of the context ends the call, which close releases.
func open(
	ctx context.Context, conn *grpc.ClientConn, instance *instance, registration *appv1.Register, lock *coreLock, logger *slog.Logger,
) (*call, error) {
	description := &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}
	stream, err := conn.NewStream(ctx, description, "/minerva.app.v1.AppService/Serve")
	if err != nil {
		return nil, callErrorOf(err)
	}
	opened := &call{
		instance: instance, logger: logger, stream: stream, lock: lock,
		registered: make(chan struct{}), received: make(chan error, 1),
	}
	id, numbers, held, wake := instance.beginCall()
	opened.id, opened.wake = id, wake
	register := &appv1.Register{
		Service: registration.Service, InstanceId: registration.InstanceId, StreamWindowBytes: registration.StreamWindowBytes,
		HeldStreams: numbers, Held: held, MaxVersion: 1, Features: features,
	}
	go opened.receive()
	command := &appv1.Command{Command: &appv1.Command_Register{Register: register}}
	if err := opened.send([]*appv1.Command{command}); err != nil {
		opened.close()
		return nil, err
	}
	return opened, opened.awaitRegistered(ctx)
}

func (c *call) awaitRegistered(ctx context.Context) error {
	var err error
	select {
	case <-c.registered:
		return nil
	case err = <-c.received:
	case <-time.After(registerTimeout):
		err = &callError{problem: "the core did not answer the registration in time"}
	case <-ctx.Done():
		err = ctx.Err()
	}
	c.close()
	return err
}

// close ends the call in the session. The end of the context ends the call itself.
func (c *call) close() { c.instance.endCall(c.id) }

// run exchanges events and commands until the call breaks, or the service is stopped and drained.
func (c *call) run(ctx context.Context) error {
	probes := c.probes()
	for {
		commands, isUnsettled, isDrained := c.instance.nextCommands(c.id)
		switch {
		case isDrained:
			return c.finish()
		case isUnsettled:
			return &callError{problem: "a partition was claimed under an older epoch than that of a lost call"}
		case len(commands) > 0:
			if err := c.send(commands); err != nil {
				return err
			}
			// Other goroutines may make more commands ready, which are batched into the next request.
			runtime.Gosched()
			continue
		}
		select {
		case <-c.wake:
		case <-probes:
			if err := c.probe(); err != nil {
				return err
			}
		case err := <-c.received:
			return err
		case <-c.lock.superseded:
			return errSuperseded
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (c *call) send(commands []*appv1.Command) error {
	err := c.stream.SendMsg(&appv1.ServeRequest{Commands: commands})
	if errors.Is(err, io.EOF) {
		// The call is over; the receiver has the status.
		return <-c.received
	}
	if err != nil {
		return callErrorOf(err)
	}
	return nil
}

// probes returns the ticks of the probes; nil if the core needs none.
func (c *call) probes() <-chan time.Time {
	c.instance.mutex.Lock()
	defer c.instance.mutex.Unlock()
	if c.instance.session.NeedsProbes(c.id) {
		return time.Tick(probeInterval)
	}
	return nil
}

func (c *call) probe() error {
	c.instance.mutex.Lock()
	commands := c.instance.session.Probes(c.id)
	c.instance.mutex.Unlock()
	if len(commands) == 0 {
		return nil
	}
	return c.send(commands)
}

// finish ends the half of this side, and waits for the core to end the call. A late end has no consequence.
func (c *call) finish() error {
	if err := c.stream.CloseSend(); err != nil {
		return callErrorOf(err)
	}
	select {
	case <-c.received:
	case <-time.After(closeTimeout):
	}
	return nil
}

func (c *call) receive() {
	isRegistered := false
	for {
		response := &appv1.ServeResponse{}
		if err := c.stream.RecvMsg(response); err != nil {
			c.received <- callErrorOf(err)
			return
		}
		for _, event := range response.GetEvents() {
			if core := event.GetRegistered().GetCoreId(); core != "" {
				c.lock.rekey(core)
			}
			c.logInvalid(event)
		}
		if err := c.instance.onResponse(c.id, response); err != nil {
			c.received <- &callError{problem: "the core broke the contract: " + err.Error()}
			return
		}
		if !isRegistered && c.isRegistered() {
			isRegistered = true
			close(c.registered)
		}
	}
}

func (c *call) isRegistered() bool {
	c.instance.mutex.Lock()
	defer c.instance.mutex.Unlock()
	return c.instance.session.IsRegistered(c.id)
}

// logInvalid logs the refusal of an invalid command, which the checks of this SDK should prevent.
func (c *call) logInvalid(event *appv1.Event) {
	switch refused := event.GetSendRefused(); refused.GetReason() {
	case appv1.SendRefusedReason_SEND_REFUSED_REASON_INVALID, appv1.SendRefusedReason_SEND_REFUSED_REASON_UNSUPPORTED:
		c.logger.Error("minerva: a Send was refused as invalid", "stream", refused.GetStream(), "detail", refused.GetDetail())
	}
	if refused := event.GetCommandRefused(); refused != nil {
		c.logger.Error("minerva: a command was refused as invalid", "stream", refused.GetStream(), "detail", refused.GetDetail())
	}
}

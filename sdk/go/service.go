package minerva

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"math"
	"os"
	"os/signal"
	"regexp"
	"runtime/debug"
	"sync"
	"syscall"
	"time"

	"minerva.dev/minerva/internal/appv1"
)

const (
	// drainTimeout is the deadline for queued messages to become durable after a stop.
	drainTimeout = 5 * time.Second
	// waitingAfter is the time without a registration after which the start is reported as waiting.
	waitingAfter = 5 * time.Second
	// defaultWindow is the default of Service.StreamWindowBytes.
	defaultWindow = 256 * 1024
)

var (
	serviceName = regexp.MustCompile(`^[a-z0-9_-]{1,64}$`)
	instanceID  = regexp.MustCompile(`^[!-~]{1,64}$`)
)

// Handler serves one stream, in a goroutine of its own. The context ends once the service is stopped.
//
// The stream ends with the handler. Without an error it is finished: the client receives all sent messages first. An error,
// or a panic, resets the stream at once with the reason "the application failed"; it is not sent to the client but logged.
// ErrStreamOver is not logged.
type Handler func(ctx context.Context, stream *Stream) error

// Service is this process as an instance of a service, registered with every core. It accepts the streams that the cores
// assign. Lost calls are retried without limit, and streams survive them, as well as a change of the owning core.
//
// The zero value is ready for use. The fields must not change after the start.
type Service struct {
	// Cores are the addresses of the cores, HOST:PORT, http://HOST:PORT or https://HOST:PORT, with commas in between. The
	// default is the variable MINERVA_API, else 127.0.0.1:7400. A host name may resolve to several cores.
	Cores string
	// Name of the service, of a-z, 0-9, '-' and '_'; by default `default`, the service of the path /_minerva/.
	Name string
	// InstanceID is random by default. A process that keeps the id over a restart gets its streams back at once; with a new id
	// the cores wait for --app-grace first. Two running processes must not share an id.
	InstanceID string
	// StreamWindowBytes bounds the messages per stream that are queued for the handler or unacknowledged; by default 262144.
	// Beyond, messages wait in the core, then in the client.
	StreamWindowBytes int
	// Token is the secret of `minerva-core token create`; by default the variable MINERVA_TOKEN.
	Token string
	// TLS has the files of mutual TLS; by default those of MINERVA_MTLS_CA, MINERVA_MTLS_CERT and MINERVA_MTLS_KEY.
	TLS *TLSFiles
	// Logger is slog.Default() by default.
	Logger *slog.Logger
	// IgnoreSignals leaves SIGTERM and SIGINT to the program. Otherwise they stop Run in order.
	IgnoreSignals bool

	mutex    sync.Mutex
	instance *instance
}

// Serve runs handler for each stream of the service `default`, as [Service.Run] does. cores are the addresses of the cores, as
// in [Service].
func Serve(ctx context.Context, cores string, handler Handler) error {
	service := Service{Cores: cores}
	return service.Run(ctx, handler)
}

// Start starts the service and returns after the first registration. Unreachable cores are retried until the context ends, so
// applications and cores may start in any order; a start that waits is logged. Start returns a *StartError if an option is
// invalid, or if a core refuses the registration before another core accepts one. Later refusals are logged and retried.
func (s *Service) Start(ctx context.Context) error {
	connectors, addresses, err := s.prepare()
	if err != nil {
		return err
	}
	registered, started := make(chan error, 1), sync.Once{}
	connectors.onStarted = func(problem error) bool {
		isFirst := false
		started.Do(func() {
			isFirst = true
			registered <- problem
		})
		return isFirst
	}
	instance := connectors.instance
	go drive(connectors, addresses)
	waiting := time.AfterFunc(waitingAfter, func() {
		connectors.logger.Warn("minerva: no core answers yet, so the service waits: start Minerva, or correct the address",
			"service", s.Name, "cores", s.Cores)
	})
	defer waiting.Stop()
	select {
	case err = <-registered:
	case <-instance.stopped.Done():
		err = ErrStopped
	case <-ctx.Done():
		err = ctx.Err()
	}
	if err != nil {
		instance.advance(stopped)
	}
	return err
}

// prepare checks the options, fills in the defaults, and makes the instance.
func (s *Service) prepare() (*connectors, []address, error) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if s.instance != nil {
		return nil, nil, startErrorf("the service was started before")
	}
	if s.Name == "" {
		s.Name = "default"
	}
	if s.InstanceID == "" {
		s.InstanceID = rand.Text()
	}
	if s.StreamWindowBytes == 0 {
		s.StreamWindowBytes = defaultWindow
	}
	if s.TLS == nil {
		s.TLS = tlsFromEnvironment()
	}
	if s.Logger == nil {
		s.Logger = slog.Default()
	}
	switch {
	case !serviceName.MatchString(s.Name):
		return nil, nil, startErrorf("`%s` cannot name a service: use 1 to 64 of a-z, 0-9, `-` and `_`", s.Name)
	case !instanceID.MatchString(s.InstanceID):
		return nil, nil, startErrorf("`%s` is not an instance id: use 1 to 64 of the characters 0x21-0x7E", s.InstanceID)
	case s.StreamWindowBytes < 0 || s.StreamWindowBytes > math.MaxUint32:
		return nil, nil, startErrorf("a window of %d bytes: use 1 to 4294967295", s.StreamWindowBytes)
	}
	bearer, err := bearer(s.Token)
	if err != nil {
		return nil, nil, err
	}
	addresses, err := parseAddresses(s.Cores, s.TLS != nil)
	if err != nil {
		return nil, nil, err
	}
	if s.TLS != nil {
		if _, err := s.TLS.config(); err != nil {
			return nil, nil, err
		}
	}
	s.instance = newInstance(s.StreamWindowBytes)
	registration := &appv1.Register{
		Service: s.Name, InstanceId: s.InstanceID, StreamWindowBytes: uint32(s.StreamWindowBytes),
	}
	return &connectors{
		instance: s.instance, registration: registration, bearer: bearer, tls: s.TLS, logger: s.Logger,
		locks: coreLocks{held: map[string]*coreLock{}},
	}, addresses, nil
}

// drive runs the calls until the service is drained, or at most drainTimeout after the start of a stop.
func drive(connectors *connectors, addresses []address) {
	instance := connectors.instance
	finished := make(chan struct{})
	go func() {
		connectors.run(addresses)
		close(finished)
	}()
	<-instance.stopping.Done()
	select {
	case <-finished:
	case <-instance.stopped.Done():
	case <-time.After(drainTimeout):
		connectors.logger.Warn("minerva: stopped with unconfirmed messages or open streams")
	}
	instance.advance(stopped)
}

// Accept waits for the next stream assigned to this instance. It returns ErrStopped once the service is stopped. The caller
// calls Close of the stream, which Run does for handlers.
func (s *Service) Accept(ctx context.Context) (*Stream, error) {
	instance := s.started()
	if instance == nil {
		return nil, startErrorf("the service is not started: call Start, or Run")
	}
	cell, err := instance.accept(ctx)
	if err != nil {
		return nil, err
	}
	return newStream(cell, instance), nil
}

// Run runs handler for each stream, until the context ends, a signal arrives (SIGTERM, SIGINT), or Stop is called. It starts
// the service if needed, and returns nil after a stop.
func (s *Service) Run(ctx context.Context, handler Handler) error {
	if !s.IgnoreSignals {
		withSignals, release := signal.NotifyContext(ctx, syscall.SIGTERM, os.Interrupt)
		defer release()
		ctx = withSignals
	}
	if s.started() == nil {
		if err := s.Start(ctx); err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return err
		}
	}
	instance := s.started()
	defer context.AfterFunc(ctx, func() { instance.advance(draining) })()
	var handlers sync.WaitGroup
	for {
		stream, err := s.Accept(context.Background())
		if err != nil {
			break
		}
		handlers.Go(func() { s.handle(instance.stopped, handler, stream) })
	}
	<-instance.stopped.Done()
	wait(&handlers, drainTimeout)
	return nil
}

// wait waits for the handlers, whose context has ended, but not for ever.
func wait(handlers *sync.WaitGroup, limit time.Duration) {
	done := make(chan struct{})
	go func() {
		handlers.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(limit):
	}
}

// Stop stops the service and waits for the end of the stop, at most about six seconds.
//
// No more streams are accepted, and handlers receive no more messages. Their streams are released, not reset, and go on with
// another instance or the next start of this program. Queued messages become durable first. Handlers that hold their stream
// longer than five seconds are cut off: their context ends.
func (s *Service) Stop(ctx context.Context) error {
	instance := s.started()
	if instance == nil {
		return nil
	}
	instance.advance(draining)
	select {
	case <-instance.stopped.Done():
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s *Service) started() *instance {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	return s.instance
}

func (s *Service) handle(ctx context.Context, handler Handler, stream *Stream) {
	err := errPanicked
	defer func() {
		if problem := recover(); problem != nil {
			s.Logger.Error("minerva: the handler of a stream panicked", "stream", stream, "panic", problem, "stack", string(debug.Stack()))
		}
		stream.close(err == nil)
	}()
	err = handler(ctx, stream)
	if err != nil && !errors.Is(err, ErrStreamOver) && !errors.Is(err, context.Canceled) {
		s.Logger.Error("minerva: the handler of a stream failed", "stream", stream, "error", err)
	}
}

var errPanicked = errors.New("panicked")

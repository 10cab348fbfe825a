package minerva

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"

	"minerva.dev/minerva/internal/appv1"
)

const (
	// lookupInterval is the interval of DNS lookups: it bounds the time until a new core is called.
	lookupInterval = 5 * time.Second
	// firstPause and lastPause bound the pause after a lost call; the bound doubles with each attempt.
	firstPause, lastPause = 100 * time.Millisecond, 3 * time.Second
)

// pauses are the pauses between attempts: random, below a bound that doubles.
type pauses struct{ bound time.Duration }

func (p *pauses) next() time.Duration {
	bound := max(p.bound, firstPause)
	p.bound = min(bound*2, lastPause)
	return rand.N(bound)
}

func (p *pauses) reset() { p.bound = firstPause }

// connectors keep one call open to each address of a core.
type connectors struct {
	instance     *instance
	registration *appv1.Register
	bearer       string
	tls          *TLSFiles
	logger       *slog.Logger
	locks        coreLocks
	// Takes the outcome of the first registration, and returns whether it was the first one.
	onStarted func(error) bool
}

// run calls all addresses until the service is drained or stopped.
func (c *connectors) run(addresses []address) {
	var all sync.WaitGroup
	for _, at := range addresses {
		all.Go(func() { c.keepConnected(at) })
	}
	all.Wait()
}

// targets are the socket addresses of one configured address.
type targets struct {
	mutex    sync.Mutex
	resolved map[string]bool
	called   map[string]bool
}

// update replaces the resolved targets and returns those without a connector. Without an answer of the name service the last
// ones hold.
func (t *targets) update(found []string) []string {
	t.mutex.Lock()
	defer t.mutex.Unlock()
	if len(found) > 0 {
		t.resolved = map[string]bool{}
	}
	var added []string
	for _, target := range found {
		t.resolved[target] = true
		if !t.called[target] {
			t.called[target] = true
			added = append(added, target)
		}
	}
	return added
}

// isGone removes the connector of a target, if the host no longer resolves to the target.
func (t *targets) isGone(target string) bool {
	t.mutex.Lock()
	defer t.mutex.Unlock()
	if t.resolved[target] {
		return false
	}
	delete(t.called, target)
	return true
}

// keepConnected keeps a connector to each target of one configured address.
func (c *connectors) keepConnected(at address) {
	var all sync.WaitGroup
	defer all.Wait()
	ctx := c.instance.drained
	known := &targets{called: map[string]bool{}}
	for {
		for _, target := range known.update(at.resolve(ctx, c.logger)) {
			all.Go(func() { c.keepCalling(at, target, known) })
		}
		var next <-chan time.Time
		if !at.isIP() {
			next = time.After(lookupInterval)
		}
		select {
		case <-ctx.Done():
			return
		case <-c.instance.stopped.Done():
			return
		case <-next:
		}
	}
}

// keepCalling calls until the service is drained or stopped, or the host no longer resolves to this target.
func (c *connectors) keepCalling(at address, target string, known *targets) {
	core, waits := at.key(), &pauses{}
	for c.instance.drained.Err() == nil && c.instance.stopped.Err() == nil {
		err := c.call(at, target, &core, waits)
		var failed *callError
		switch {
		case err == nil:
			return
		case errors.Is(err, errSuperseded) || errors.Is(err, context.Canceled):
			continue
		case errors.As(err, &failed) && failed.isRefusal():
			if c.onStarted(startErrorf("a core refused the registration: %s", failed.problem)) {
				c.instance.advance(stopped)
				return
			}
		}
		if c.instance.drained.Err() != nil || c.instance.stopped.Err() != nil {
			return
		}
		pause := waits.next()
		c.logger.Warn("minerva: a call to a core failed", "core", target, "pause", pause.Round(time.Millisecond), "error", err)
		if known.isGone(target) {
			return
		}
		select {
		case <-c.instance.drained.Done():
		case <-c.instance.stopped.Done():
		case <-time.After(pause):
		}
	}
}

// call makes one call. It returns nil once the service is drained, and otherwise the reason for the end of the call.
func (c *connectors) call(at address, target string, core *string, waits *pauses) error {
	ctx, cancel := context.WithCancel(c.instance.stopped)
	defer cancel()
	if c.bearer != "" {
		ctx = metadata.AppendToOutgoingContext(ctx, "authorization", c.bearer)
	}
	stopWatching := context.AfterFunc(c.instance.drained, cancel)
	lock, err := c.locks.lock(ctx, *core)
	if err != nil {
		return err
	}
	defer lock.release()
	conn, err := dial(at, target, c.tls)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	opened, err := open(ctx, conn, c.instance, c.registration, lock, c.logger)
	if err != nil {
		return err
	}
	defer opened.close()
	*core = lock.core
	c.logger.Info("minerva: registered", "service", c.registration.Service, "core", target)
	c.onStarted(nil)
	stopWatching()
	err = opened.run(ctx)
	var failed *callError
	if errors.As(err, &failed) && failed.code != codes.Aborted && !failed.isRefusal() {
		// After ABORTED two processes with one instance id would otherwise end each other's calls without a pause.
		waits.reset()
	}
	return err
}

package minerva

import (
	"time"

	"minerva.dev/minerva/internal/appv1"
)

// Retention limits the messages that the client has acknowledged and that a reloaded page may request again. A limit of 0
// retains none. The core drops the oldest messages beyond a limit, and beyond its own budget (--retained-bytes).
type Retention struct {
	// At most 10,000.
	Messages int
	// At most 2 MiB.
	Bytes int
	// Time since the acknowledgement, at most a week.
	Age time.Duration
	// Nothing is written to a new generation before its Rejoined is acknowledged.
	Hold bool
}

const week = 7 * 24 * time.Hour

// limits returns the limits, clamped to those that a core accepts.
func (r Retention) limits() *appv1.SetLimits {
	messages, bytes := uint32(min(max(r.Messages, 0), 10_000)), uint32(min(max(r.Bytes, 0), 2<<20))
	age := uint64(min(max(r.Age, 0), week).Milliseconds())
	return &appv1.SetLimits{RetainedMessages: &messages, RetainedBytes: &bytes, RetainedAgeMs: &age, Hold: &r.Hold}
}

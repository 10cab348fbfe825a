package minerva

import (
	"context"
	"fmt"
	"slices"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"minerva.dev/minerva/internal/appv1"
)

const (
	// minCoreTimeout is the shortest deadline of one core. Otherwise a third of the deadline of the request.
	minCoreTimeout = 3 * time.Second
	// page is the number of streams on a page of a list.
	page = 1000
	// uncovered is the problem of a request that no core refuses.
	uncovered = "not all partitions have a core now"
)

// Reasons of a StreamsError, besides those of google.rpc.ErrorInfo that a core sends for a token.
const (
	ReasonNotFound      = "STREAM_NOT_FOUND"
	ReasonEnded         = "STREAM_ENDED"
	ReasonOutboxFull    = "OUTBOX_FULL"
	ReasonUnsupported   = "MESSAGE_UNSUPPORTED"
	ReasonTooManyGroups = "TOO_MANY_GROUPS"
	// ReasonUnavailable: no core has answered, or not all partitions have a core now. The request had no effect.
	ReasonUnavailable = "UNAVAILABLE"
	// ReasonUnknown: the outcome of a change is not known. A repetition with Key takes effect once.
	ReasonUnknown = "UNKNOWN"
)

var ofStream = map[string]string{
	ReasonNotFound:      "there is no such stream",
	ReasonEnded:         "the stream is over",
	ReasonOutboxFull:    "the outbox of the stream is full",
	ReasonUnsupported:   "the client does not accept a message: it accepts text of the bytes 0x20-0x7E only",
	ReasonTooManyGroups: "the stream is in too many groups",
}

// StreamsError reports a request of Streams without effect, unless the reason is ReasonUnknown.
type StreamsError struct {
	// Reason is empty if a field is invalid or a core refuses for another cause.
	Reason string
	// Key is the idempotency key of a send whose outcome is not known.
	Key     []byte
	problem string
	// A partition or a core is away: a repetition may succeed.
	isTransient, mayBeApplied bool
}

func (e *StreamsError) Error() string { return e.problem }

// covered is a response that covers some partitions.
type covered interface{ GetCoverage() *appv1.Coverage }

// rounds is the outcome of a request, as far as failed attempts leave it open.
type rounds struct {
	isChange, mayBeApplied bool
	key                    []byte
	problem                string
}

func (r *rounds) onProblem(problem *StreamsError) {
	r.problem = problem.problem
	r.mayBeApplied = r.mayBeApplied || problem.mayBeApplied
}

func (r *rounds) unknown(problem string) error {
	return &StreamsError{Reason: ReasonUnknown, Key: r.key, problem: "the outcome is not known: " + problem}
}

func (r *rounds) error() error {
	if r.isChange && r.mayBeApplied {
		return r.unknown(r.problem)
	}
	return &StreamsError{Reason: ReasonUnavailable, problem: r.problem}
}

// ask repeats a request at every core until the responses are complete.
func ask[R proto.Message](ctx context.Context, s *Streams, method string, request proto.Message, key []byte) ([]R, error) {
	ctx, cancel := context.WithTimeout(ctx, s.timeout())
	defer cancel()
	asked, waits := &rounds{isChange: method != "Get", key: key, problem: uncovered}, &pauses{}
	for {
		responses, isComplete, err := round[R](ctx, s, method, request, asked)
		if err != nil || isComplete {
			return responses, err
		}
		select {
		case <-ctx.Done():
			return nil, asked.error()
		case <-time.After(waits.next()):
		}
	}
}

type reply[R any] struct {
	response R
	err      error
}

// round sends the request to every core. It returns whether the responses are complete.
func round[R proto.Message](
	ctx context.Context, s *Streams, method string, request proto.Message, asked *rounds,
) (responses []R, isComplete bool, err error) {
	conns, err := s.connect(ctx)
	if err != nil {
		return nil, false, err
	}
	ctx, cancel := context.WithTimeout(ctx, max(minCoreTimeout, s.timeout()/3))
	defer cancel()
	replies := make(chan reply[R], len(conns))
	for _, conn := range conns {
		go func() {
			var none R
			response := none.ProtoReflect().New().Interface().(R)
			err := s.invoke(ctx, conn, method, request, response)
			replies <- reply[R]{response, err}
		}()
	}
	var refusal *StreamsError
	for range conns {
		answered := <-replies
		if answered.err == nil {
			if responses = append(responses, answered.response); isAll(responses) {
				return responses, true, nil
			}
			continue
		}
		problem := errorOf(answered.err)
		switch {
		case problem.isTransient:
			asked.onProblem(problem)
		case ofStream[problem.Reason] != "" || !asked.isChange:
			return nil, false, problem
		default:
			// The other cores may apply the change.
			refusal = problem
		}
	}
	// The answered part of a change is applied.
	asked.mayBeApplied = asked.mayBeApplied || len(responses) > 0
	switch {
	case refusal == nil:
		return nil, false, nil
	case asked.mayBeApplied:
		return nil, false, asked.unknown(refusal.problem)
	}
	return nil, false, refusal
}

func (s *Streams) invoke(ctx context.Context, conn *grpc.ClientConn, method string, request, response proto.Message) error {
	if s.bearer != "" {
		ctx = metadata.AppendToOutgoingContext(ctx, "authorization", s.bearer)
	}
	return conn.Invoke(ctx, "/minerva.app.v1.StreamService/"+method, request, response)
}

// isAll returns whether the responses cover all partitions, or the selected streams.
func isAll[R proto.Message](responses []R) bool {
	var coverages []*appv1.Coverage
	var missing map[uint64]int
	for _, response := range responses {
		switch response := any(response).(type) {
		case *appv1.SendManyResponse:
			if missing == nil {
				missing = map[uint64]int{}
			}
			for _, result := range response.GetResults() {
				if result.GetOutcome() == appv1.SendOutcome_SEND_OUTCOME_NOT_OWNER {
					missing[result.GetStream()]++
				}
			}
		case covered:
			if response.GetCoverage() == nil {
				return true
			}
			coverages = append(coverages, response.GetCoverage())
		}
	}
	if missing == nil {
		return isCovered(coverages)
	}
	for _, count := range missing {
		if count == len(responses) {
			return false
		}
	}
	return true
}

func isCovered(coverages []*appv1.Coverage) bool {
	partitions, total := map[uint32]bool{}, uint32(0)
	for _, coverage := range coverages {
		total = coverage.GetTotal()
		for _, partition := range coverage.GetPartitions() {
			partitions[partition] = true
		}
	}
	return total > 0 && len(partitions) == int(total)
}

// errorOf returns the error of a status, with the details of google.rpc.
func errorOf(err error) *StreamsError {
	found := status.Convert(err)
	reason := ""
	for _, detail := range found.Details() {
		switch detail := detail.(type) {
		case *errdetails.ErrorInfo:
			reason = detail.GetReason()
		case *errdetails.BadRequest:
			for _, violation := range detail.GetFieldViolations() {
				return &StreamsError{problem: violation.GetField() + ": " + violation.GetDescription()}
			}
		}
	}
	if problem := ofStream[reason]; problem != "" {
		return &StreamsError{Reason: reason, problem: problem}
	}
	transient := []codes.Code{codes.Unavailable, codes.Canceled, codes.Unknown, codes.DeadlineExceeded, codes.Aborted}
	if slices.Contains(transient, found.Code()) {
		// Without a connection, and at a core that is no owner, nothing is applied.
		isUnsent := reason == "NOT_OWNER" || (found.Code() == codes.Unavailable && isUnconnected(found.Message()))
		return &StreamsError{
			Reason: ReasonUnavailable, problem: "no answer from the cores: " + found.Message(), isTransient: true, mayBeApplied: !isUnsent,
		}
	}
	return &StreamsError{Reason: reason, problem: fmt.Sprintf("a core refused: %s: %s", found.Code(), found.Message())}
}

// isUnconnected returns whether gRPC had no connection for the request.
func isUnconnected(message string) bool {
	const prefix = "connection error: desc = \"transport: Error while dialing"
	return len(message) >= len(prefix) && message[:len(prefix)] == prefix
}

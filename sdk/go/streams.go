package minerva

import (
	"context"
	"crypto/rand"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"google.golang.org/grpc"

	"minerva.dev/minerva/internal/appv1"
	"minerva.dev/minerva/internal/session"
)

// Streams sends to streams of any service, manages their groups, resets and lists them: for programs that are no instance of
// the service, and for request handlers. The zero value is ready for use; the fields must not change after the first request.
//
// The effect of a request without an error is durable. Each send has an idempotency key and takes effect once despite
// repetitions, while the stream takes fewer than 32 other sends with keys in between. While a stream has no owner, such as
// during a failover, requests wait up to the timeout, or to an earlier end of the context.
//
// Errors are *StreamsError, with the reason.
type Streams struct {
	// Cores, Token, TLS and Logger are those of Service.
	Cores, Token string
	TLS          *TLSFiles
	Logger       *slog.Logger
	// Timeout of a request; by default 10 s.
	Timeout time.Duration

	mutex     sync.Mutex
	addresses []address
	bearer    string
	conns     map[string]*grpc.ClientConn
}

// Target selects streams: see ByNumber, ByID and ByLabel.
type Target struct{ target *appv1.Target }

// ByNumber selects one stream.
func ByNumber(stream uint64) Target {
	return Target{&appv1.Target{Target: &appv1.Target_Stream{Stream: stream}}}
}

// ByID selects the stream of a service with a secret id.
func ByID(service, id string) Target {
	return Target{&appv1.Target{Service: service, Target: &appv1.Target_StreamId{StreamId: id}}}
}

// ByLabel selects all streams of a service with a label.
func ByLabel(service, label string) Target {
	return Target{&appv1.Target{Service: service, Target: &appv1.Target_Label{Label: label}}}
}

// SendOutcome is the outcome of a send for one stream.
type SendOutcome int

// The outcomes. SendTaken also stands for a repetition under the same key.
const (
	SendTaken SendOutcome = iota + 1
	SendFull
	SendEnded
	SendNotFound
	SendUnsupported
)

var outcomes = map[appv1.SendOutcome]SendOutcome{
	appv1.SendOutcome_SEND_OUTCOME_TAKEN:       SendTaken,
	appv1.SendOutcome_SEND_OUTCOME_REPEATED:    SendTaken,
	appv1.SendOutcome_SEND_OUTCOME_FULL:        SendFull,
	appv1.SendOutcome_SEND_OUTCOME_ENDED:       SendEnded,
	appv1.SendOutcome_SEND_OUTCOME_NOT_FOUND:   SendNotFound,
	appv1.SendOutcome_SEND_OUTCOME_UNSUPPORTED: SendUnsupported,
}

// GroupSendResult is the result of a send to a group.
type GroupSendResult struct {
	// Streams that accepted the messages, now or under the same key before.
	Taken uint64
	// Streams that rejected the messages because of a full outbox, and streams whose clients do not accept one of the messages,
	// in ascending order; at most 1,000 of each core. The counts cover all.
	Full, Unsupported           []uint64
	FullCount, UnsupportedCount uint64
}

// StreamInfo is the state of a stream.
type StreamInfo struct {
	Stream         uint64
	Service, Label string
	Groups         []string
	StartedAt      time.Time
	// The protocol of the primary transport, and the number of transports; 0 while the client is not connected.
	Transport  TransportKind
	Transports uint32
	MaxIdle    time.Duration
	// InstanceID is empty without an instance.
	InstanceID                                             string
	IsServed                                               bool
	NextUnacknowledgedEvent, NextEvent                     uint64
	InboxBytes, InboxMessages, OutboxBytes, OutboxMessages uint64
	// Causes for which messages wait, such as "client behind".
	Pauses []string
	// Ended is nil while the stream lives.
	Ended *Ended
}

// SendOption is an option of one send.
type SendOption func(*[]byte)

// WithKey sets the idempotency key, of 1 to 64 bytes, in place of a random one. A send with the key of an *StreamsError
// repeats the failed send.
func WithKey(key []byte) SendOption { return func(own *[]byte) { *own = key } }

// Send sends messages to the selected streams; each takes all messages or none. It returns the outcome per stream, and an
// error if a stream selected by number or id took nothing, or if a message is invalid.
func (s *Streams) Send(ctx context.Context, to Target, messages []Content, options ...SendOption) (map[uint64]SendOutcome, error) {
	request := &appv1.SendRequest{Target: to.target, IdempotencyKey: keyOf(options)}
	var err error
	if request.Messages, request.Contents, err = contentsOf(messages); err != nil {
		return nil, err
	}
	responses, err := ask[*appv1.SendResponse](ctx, s, "Send", request, request.IdempotencyKey)
	found := map[uint64]SendOutcome{}
	for _, response := range responses {
		addOutcomes(found, response.GetResults())
	}
	return found, err
}

// SendMany sends messages to at most 10,000 streams by number. It returns the outcome per stream.
func (s *Streams) SendMany(ctx context.Context, streams []uint64, messages []Content, options ...SendOption) (map[uint64]SendOutcome, error) {
	request := &appv1.SendManyRequest{Streams: streams, IdempotencyKey: keyOf(options)}
	var err error
	if request.Messages, request.Contents, err = contentsOf(messages); err != nil {
		return nil, err
	}
	responses, err := ask[*appv1.SendManyResponse](ctx, s, "SendMany", request, request.IdempotencyKey)
	found := map[uint64]SendOutcome{}
	for _, response := range responses {
		addOutcomes(found, response.GetResults())
	}
	return found, err
}

// SendToGroup sends messages to all streams of a service in a group.
func (s *Streams) SendToGroup(ctx context.Context, service, group string, messages []Content, options ...SendOption) (GroupSendResult, error) {
	request := &appv1.SendToGroupRequest{Service: service, Group: group, IdempotencyKey: keyOf(options)}
	result := GroupSendResult{}
	var err error
	if request.Messages, request.Contents, err = contentsOf(messages); err != nil {
		return result, err
	}
	responses, err := ask[*appv1.SendToGroupResponse](ctx, s, "SendToGroup", request, request.IdempotencyKey)
	for _, response := range responses {
		result.Taken += response.GetTaken()
		result.Full = append(result.Full, response.GetFull()...)
		result.FullCount += response.GetFullTotal()
		result.Unsupported = append(result.Unsupported, response.GetUnsupported()...)
		result.UnsupportedCount += response.GetUnsupportedTotal()
	}
	slices.Sort(result.Full)
	slices.Sort(result.Unsupported)
	return result, err
}

// Join adds the selected streams to a group and returns those in the group now.
func (s *Streams) Join(ctx context.Context, to Target, group string) ([]uint64, error) {
	request := &appv1.JoinRequest{Target: to.target, Group: group}
	return numbers(ask[*appv1.JoinResponse](ctx, s, "Join", request, nil))
}

// Leave removes the selected streams from a group and returns those outside of the group now.
func (s *Streams) Leave(ctx context.Context, to Target, group string) ([]uint64, error) {
	request := &appv1.LeaveRequest{Target: to.target, Group: group}
	return numbers(ask[*appv1.LeaveResponse](ctx, s, "Leave", request, nil))
}

// Reset ends the selected streams at once and returns those that are over. Clients and instances receive the reason.
func (s *Streams) Reset(ctx context.Context, to Target, reason string) ([]uint64, error) {
	request := &appv1.ResetRequest{Target: to.target, Reason: reason, ApplicationLevel: true}
	return numbers(ask[*appv1.ResetResponse](ctx, s, "Reset", request, nil))
}

// Get returns the state of the selected streams.
func (s *Streams) Get(ctx context.Context, to Target) ([]StreamInfo, error) {
	responses, err := ask[*appv1.GetResponse](ctx, s, "Get", &appv1.GetRequest{Target: to.target}, nil)
	var found []StreamInfo
	for _, response := range responses {
		for _, info := range response.GetStreams() {
			found = append(found, infoOf(info))
		}
	}
	return found, err
}

// List returns all streams of a service. Streams that start, end or move meanwhile may be missing or listed twice.
func (s *Streams) List(ctx context.Context, service string) ([]StreamInfo, error) {
	ctx, cancel := context.WithTimeout(ctx, s.timeout())
	defer cancel()
	conns, err := s.connect(ctx)
	if err != nil {
		return nil, err
	}
	var found []StreamInfo
	var coverages []*appv1.Coverage
	for _, target := range slices.Sorted(maps.Keys(conns)) {
		request := &appv1.ListRequest{Service: service, PageSize: page}
		for isLast := false; !isLast; isLast = request.PageToken == "" {
			response := &appv1.ListResponse{}
			if err := s.invoke(ctx, conns[target], "List", request, response); err != nil {
				return nil, errorOf(err)
			}
			for _, info := range response.GetStreams() {
				found = append(found, infoOf(info))
			}
			coverages = append(coverages, response.GetCoverage())
			request.PageToken = response.GetNextPageToken()
		}
	}
	if !isCovered(coverages) {
		return nil, &StreamsError{Reason: ReasonUnavailable, problem: uncovered}
	}
	return found, nil
}

// Close closes the connections.
func (s *Streams) Close() {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	for _, conn := range s.conns {
		_ = conn.Close()
	}
	s.conns = nil
}

func keyOf(options []SendOption) []byte {
	key := make([]byte, 16)
	_, _ = rand.Read(key) // never fails
	for _, option := range options {
		option(&key)
	}
	return key
}

// contentsOf returns messages, or contents if a message has a kind: a core of release 0.1 reads text of version 2 only.
func contentsOf(messages []Content) (plain [][]byte, contents []*appv1.Message, err error) {
	isPlain := true
	for _, content := range messages {
		isPlain = isPlain && !content.IsBinary() && consistsOf(content.Text(), ' ', '~')
		if !content.IsBinary() && !utf8.ValidString(content.Text()) {
			return nil, nil, &StreamsError{problem: "a text is not UTF-8: correct the text, or send bytes"}
		}
	}
	for _, content := range messages {
		if isPlain {
			plain = append(plain, content.Bytes())
		} else {
			contents = append(contents, session.ProtoOf(content.inner))
		}
	}
	return plain, contents, nil
}

func addOutcomes(found map[uint64]SendOutcome, results []*appv1.SendResult) {
	for _, result := range results {
		if outcome, isKnown := outcomes[result.GetOutcome()]; isKnown {
			found[result.GetStream()] = outcome
		}
	}
}

func numbers[R interface{ GetStreams() []uint64 }](responses []R, err error) ([]uint64, error) {
	var found []uint64
	for _, response := range responses {
		found = append(found, response.GetStreams()...)
	}
	return found, err
}

func infoOf(info *appv1.StreamInfo) StreamInfo {
	found := StreamInfo{
		Stream: info.GetStream(), Service: info.GetService(), Label: info.GetLabel(), Groups: info.GetGroups(),
		StartedAt: time.UnixMilli(int64(info.GetStartedAtMs())),
		Transport: transportOf(info.GetPrimaryTransport()), Transports: info.GetTransports(),
		MaxIdle:    time.Duration(info.GetMaxIdleMs()) * time.Millisecond,
		InstanceID: info.GetInstanceId(), IsServed: info.GetServed(),
		NextUnacknowledgedEvent: info.GetNextUnacknowledgedEvent(), NextEvent: info.GetNextEvent(),
		InboxBytes: info.GetInboxBytes(), InboxMessages: info.GetInboxMessages(),
		OutboxBytes: info.GetOutboxBytes(), OutboxMessages: info.GetOutboxMessages(),
	}
	for _, pause := range info.GetPauses() {
		name := strings.ToLower(strings.TrimPrefix(pause.String(), "PAUSE_"))
		found.Pauses = append(found.Pauses, strings.ReplaceAll(name, "_", " "))
	}
	if ended := info.GetEnded(); ended != nil {
		found.Ended = &Ended{ended.GetEvent(), ended.GetReason(), ended.GetApplicationLevel(), endedByOf(ended.GetBy())}
	}
	return found
}

// connect returns the connections to all addresses that the hosts have now.
func (s *Streams) connect(ctx context.Context) (map[string]*grpc.ClientConn, error) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if err := s.prepare(); err != nil {
		return nil, err
	}
	found := map[string]*grpc.ClientConn{}
	for _, at := range s.addresses {
		for _, target := range at.resolve(ctx, s.Logger) {
			conn := s.conns[target]
			if conn == nil {
				var err error
				if conn, err = dial(at, target, s.TLS); err != nil {
					return nil, err
				}
			}
			found[target] = conn
		}
	}
	for target, conn := range s.conns {
		if found[target] == nil {
			_ = conn.Close()
		}
	}
	s.conns = found
	return maps.Clone(found), nil
}

func (s *Streams) prepare() (err error) {
	if s.addresses != nil {
		return nil
	}
	if s.TLS == nil {
		s.TLS = tlsFromEnvironment()
	}
	if s.Logger == nil {
		s.Logger = slog.Default()
	}
	if s.bearer, err = bearer(s.Token); err != nil {
		return err
	}
	s.addresses, err = parseAddresses(s.Cores, s.TLS != nil)
	return err
}

func (s *Streams) timeout() time.Duration {
	if s.Timeout <= 0 {
		return 10 * time.Second
	}
	return s.Timeout
}

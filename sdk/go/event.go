package minerva

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"
	"unicode/utf16"

	"minerva.dev/minerva/internal/appv1"
	"minerva.dev/minerva/internal/session"
)

// Content is the content of a message: text, or binary. The zero value is the empty text.
type Content struct{ inner session.Content }

// Text returns the content of a text message. A message with text that is not UTF-8 is rejected by Send.
func Text(text string) Content { return Content{session.Content{Data: text}} }

// Binary returns the content of a binary message. The bytes are copied.
func Binary(data []byte) Content { return Content{session.Content{Data: string(data), Binary: true}} }

// JSON returns a text message with a value as JSON. Other characters than ASCII are escaped, so clients of every version accept
// the message.
func JSON(value any) (Content, error) {
	encoded, err := json.Marshal(value)
	if err != nil {
		return Content{}, err
	}
	var ascii strings.Builder
	for _, character := range string(encoded) {
		switch {
		case character < 0x7F:
			ascii.WriteRune(character)
		case character <= 0xFFFF:
			fmt.Fprintf(&ascii, "\\u%04x", character)
		default:
			high, low := utf16.EncodeRune(character)
			fmt.Fprintf(&ascii, "\\u%04x\\u%04x", high, low)
		}
	}
	return Text(ascii.String()), nil
}

// Text returns the text, or the bytes of a binary message as a string.
func (c Content) Text() string { return c.inner.Data }

// Bytes returns a copy of the bytes.
func (c Content) Bytes() []byte { return []byte(c.inner.Data) }

// IsBinary returns whether the content is binary.
func (c Content) IsBinary() bool { return c.inner.Binary }

// Len returns the length in bytes.
func (c Content) Len() int { return len(c.inner.Data) }

// String describes the content for a log, without the text.
func (c Content) String() string {
	if c.inner.Binary {
		return fmt.Sprintf("%d bytes", c.Len())
	}
	return fmt.Sprintf("text of %d bytes", c.Len())
}

// GoString describes the content, as String does.
func (c Content) GoString() string { return c.String() }

// Event is an event of a stream: [Message], [Rejoined], [Renewed], [TransportChanged], [Ended] or [Released].
type Event interface{ isEvent() }

// Message is a message from the client.
type Message struct {
	Content
	// Number of the event. The first message of a stream is event 1, and each further one counts up by one.
	Event uint64
	// Deliveries of this message, this one included; more than 1 after the death of an instance that had the message. 0 if
	// unknown, with a core of release 0.1.
	Attempts uint32
}

// DecodeJSON decodes a JSON message into value, as json.Unmarshal does.
func (m Message) DecodeJSON(value any) error { return json.Unmarshal([]byte(m.inner.Data), value) }

// String describes the message for a log, without the text.
func (m Message) String() string { return fmt.Sprintf("event %d: %s", m.Event, m.Content) }

// Rejoined reports that a new generation of the client, such as a reloaded page, has taken the stream over. Acknowledged like
// a message.
type Rejoined struct {
	Event      uint64
	Generation uint32
	// The messages that the client has requested, and the first of them with RewindNumber.
	Asked       Rewind
	AskedNumber uint64
	// First message that the client receives, in the numbering of the client.
	First uint64
	// False if a requested message is missing: send the state that the client lacks.
	Complete bool
	// Credentials of the new hello: a secret.
	Credentials string
	Headers     []Header
	PeerAddress string
	Transport   TransportKind
	// The identity of the client, if the core verifies tokens; otherwise nil.
	Identity *Identity
}

// String describes the event for a log, without the credentials.
func (r Rejoined) String() string {
	return fmt.Sprintf("event %d: generation %d, complete: %t", r.Event, r.Generation, r.Complete)
}

// Renewed reports a new token of the client, of the same subject. An unread one is replaced by the next.
type Renewed struct{ Identity *Identity }

// TransportChanged reports an attached or detached transport. Informative: some changes may be omitted, none is repeated.
type TransportChanged struct {
	Number            uint64
	Attached, Primary bool
	Kind              TransportKind
	// Number of transports after the change; 0 if the client is not connected.
	Transports uint32
}

// Ended is the last event of a stream.
type Ended struct {
	Event uint64
	// The reason of the side that ended the stream; "state lost" if the store has lost a part of the stream.
	Reason string
	// True if an application on either side decided, false after a failure below the applications.
	ApplicationLevel bool
	By               EndedBy
}

// Released is the last event here, not the end: the stream has moved to another instance, or this service is stopped.
type Released struct{}

func (Message) isEvent()          {}
func (Rejoined) isEvent()         {}
func (Renewed) isEvent()          {}
func (TransportChanged) isEvent() {}
func (Ended) isEvent()            {}
func (Released) isEvent()         {}

// Header is a request header of a transport; the name is in lower case.
type Header struct{ Name, Value string }

// Identity is the verified content of a client's token (JWT).
type Identity struct {
	Issuer, Subject string
	Audience        []string
	TokenID         string
	// IssuedAt is the zero time if absent. The stream ends with the reason "token expired" soon after ExpiresAt, unless the
	// client sends a new token.
	IssuedAt, ExpiresAt time.Time
	// The claims that the configuration of the core selects.
	Claims map[string]json.RawMessage
}

// TransportKind is the protocol of a transport; TransportUnknown if newer than this SDK.
type TransportKind int

// The protocols.
const (
	TransportUnknown TransportKind = iota
	TransportTCP
	TransportWebSocket
	TransportHTTPStream
	TransportLongPoll
)

// String returns the name.
func (k TransportKind) String() string {
	return [...]string{"unknown", "TCP", "WebSocket", "HTTP stream", "long poll"}[k]
}

// Accepts is the kind of messages that a client accepts; the same for the whole life of a stream.
type Accepts int

const (
	// ASCIIText is text of the bytes 0x20-0x7E: a client of version 2 of the protocol, or a core before 0.2.
	ASCIIText Accepts = iota
	// TextAndBinary is any text and binary messages: a client of version 3.
	TextAndBinary
)

// EndedBy is the side that ended a stream.
type EndedBy int

// The sides.
const (
	EndedByCore EndedBy = iota
	EndedByClient
	EndedByApp
)

// String returns the name.
func (e EndedBy) String() string { return [...]string{"core", "client", "app"}[e] }

// Rewind is the part of the messages that a new generation of a client has requested.
type Rewind int

const (
	// RewindNew is the messages that no generation has acknowledged.
	RewindNew Rewind = iota
	// RewindAll is all retained messages.
	RewindAll
	// RewindNumber is the messages from a number on.
	RewindNumber
)

func eventOf(event session.Event) Event {
	switch event := event.(type) {
	case session.Message:
		return Message{Content{event.Content}, event.Event, event.Attempts}
	case session.Rejoined:
		return rejoinedOf(event.Proto)
	case session.Renewed:
		return Renewed{identityOf(event.Identity)}
	case session.TransportChanged:
		change := event.Proto
		return TransportChanged{
			change.GetTransportNumber(), change.GetAttached(), change.GetPrimary(), transportOf(change.GetTransport()),
			change.GetTransports(),
		}
	case session.Ended:
		return endedOf(event)
	}
	return nil
}

func rejoinedOf(rejoined *appv1.Rejoined) Rejoined {
	rewinds := map[appv1.RejoinRequest]Rewind{
		appv1.RejoinRequest_REJOIN_REQUEST_ALL: RewindAll, appv1.RejoinRequest_REJOIN_REQUEST_NUMBER: RewindNumber,
	}
	return Rejoined{
		Event: rejoined.GetEvent(), Generation: rejoined.GetGeneration(),
		Asked: rewinds[rejoined.GetAsked()], AskedNumber: rejoined.GetAskedNumber(),
		First: rejoined.GetFrom(), Complete: rejoined.GetComplete(),
		Credentials: rejoined.GetCredentials(), Headers: headersOf(rejoined.GetHeaders()),
		PeerAddress: rejoined.GetPeerAddress(), Transport: transportOf(rejoined.GetTransport()),
		Identity: identityOf(rejoined.GetIdentity()),
	}
}

func endedOf(ended session.Ended) Ended {
	return Ended{ended.Event, ended.Reason, ended.ApplicationLevel, endedByOf(ended.By)}
}

func endedByOf(by appv1.EndedBy) EndedBy {
	switch by {
	case appv1.EndedBy_ENDED_BY_CLIENT:
		return EndedByClient
	case appv1.EndedBy_ENDED_BY_APP:
		return EndedByApp
	}
	return EndedByCore
}

func identityOf(identity *appv1.Identity) *Identity {
	if identity == nil {
		return nil
	}
	claims := map[string]json.RawMessage{}
	for _, claim := range identity.GetClaims() {
		claims[claim.GetName()] = json.RawMessage(claim.GetValue())
	}
	found := &Identity{
		Issuer: identity.GetIssuer(), Subject: identity.GetSubject(), Audience: identity.GetAudience(),
		TokenID: identity.GetTokenId(), ExpiresAt: time.Unix(int64(identity.GetExpiresAt()), 0), Claims: claims,
	}
	if issued := identity.GetIssuedAt(); issued != 0 {
		found.IssuedAt = time.Unix(int64(issued), 0)
	}
	return found
}

func headersOf(headers []*appv1.Header) []Header {
	found := make([]Header, 0, len(headers))
	for _, header := range headers {
		found = append(found, Header{header.GetName(), header.GetValue()})
	}
	return found
}

func transportOf(kind appv1.TransportKind) TransportKind {
	if kind < 0 || int(kind) > int(TransportLongPoll) {
		return TransportUnknown
	}
	return TransportKind(kind)
}

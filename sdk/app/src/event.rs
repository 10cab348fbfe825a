//! The public types of stream events: messages, transport changes and the end. Decoded from the contract's
//! types; used by all other modules.

use minerva_proto::app;
use minerva_proto::{
    EventNumber, Identity, Message, MessageNumber, Rewind, TransportKind, TransportNumber,
};

/// An event of a stream, returned by [`AppStream::next_event`](crate::AppStream::next_event).
///
/// ```no_run
/// # async fn example(mut stream: minerva_app::AppStream) {
/// use minerva_app::Event;
///
/// while let Some(event) = stream.next_event().await {
///     match event {
///         Event::Message { event, message, .. } => println!("{event}: {} bytes", message.len()),
///         Event::TransportChanged(change) => println!("{} transports", change.transports),
///         Event::Ended { ended, .. } => println!("ended: {}", ended.reason),
///         Event::Released => println!("moved to another instance"),
///         _ => {}
///     }
/// }
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// A message from the client.
    Message {
        /// Number of the event; the first message of a stream is event 1, and each further message counts up
        /// by one.
        event: EventNumber,
        /// The message, text or binary.
        message: Message,
        /// Deliveries of this message, this one included; more than 1 after the death of an instance that had the
        /// message. `None` with a core of release 0.1. See [`AppStream::attempts`](crate::AppStream::attempts).
        attempts: Option<u32>,
    },
    /// A new generation of the client, such as a reloaded page, has taken the stream over; acknowledged like a message.
    /// Occurs only for clients of version 3 with a session. See [`Rejoin`] for an example.
    Rejoined {
        /// Number of the event, in the sequence of the messages.
        event: EventNumber,
        /// The generation and its request.
        rejoin: Box<Rejoin>,
    },
    /// The client has sent a new token of the same subject. Not numbered: the present identity is part of each assignment,
    /// and of [`Event::Rejoined`]. Occurs only if the cores verify tokens for the service.
    Renewed {
        /// The content of the new token.
        identity: Box<Identity>,
    },
    /// A transport was attached or detached. Informative: some changes may be omitted, none is repeated.
    TransportChanged(TransportChange),
    /// The stream has ended. The last event.
    Ended {
        /// Number of the event.
        event: EventNumber,
        /// Reason and origin of the end.
        ended: Ended,
    },
    /// The stream has moved to another instance, or this service is stopped. The last event here; the stream
    /// has not ended.
    Released,
}

/// The adoption of a stream by a new generation of its client.
///
/// ```no_run
/// # async fn example(mut stream: minerva_app::AppStream) {
/// use minerva_app::Event;
///
/// while let Some(event) = stream.next_event().await {
///     match event {
///         Event::Rejoined { rejoin, .. } if !rejoin.complete => {
///             stream.send("a snapshot of the conversation").await.unwrap();
///         }
///         _ => {}
///     }
/// }
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Rejoin {
    /// Number of the generation, from 1; numbers may be left out.
    pub generation: u32,
    /// The messages that the client has requested.
    pub asked: Rewind,
    /// First message that the client receives, in the numbering of the client.
    pub from: MessageNumber,
    /// Whether no requested message is missing.
    pub complete: bool,
    /// Credentials of the new hello, a secret; may be checked again.
    pub credentials: String,
    /// Request headers of the new transport: name in lower case, value.
    pub headers: Vec<(String, String)>,
    /// Address of the client, without a port.
    pub peer_address: String,
    /// Protocol of the new transport; `None` if newer than this SDK.
    pub transport: Option<TransportKind>,
    /// The present identity of the client, if the cores verify tokens for the service.
    pub identity: Option<Identity>,
}

/// The end of a stream. See [`Event`] for an example.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// The reason given by the side that ended the stream; `state lost` if the store of the cores has lost a part of
    /// the stream.
    pub reason: String,
    /// True if an application on either side decided, false after a failure below the applications.
    pub application_level: bool,
    /// The side that ended the stream.
    pub by: EndedBy,
}

/// The side that ended a stream. See [`Event`] for an example of the surrounding event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum EndedBy {
    /// A reset by the client.
    Client,
    /// A reset by an app instance.
    App,
    /// The core: idle limit, slow client or lost state.
    Core,
}

/// An attached or detached transport. See [`Event`] for an example.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TransportChange {
    /// Number of the transport, chosen by the client.
    pub number: TransportNumber,
    /// True if attached, false if detached.
    pub attached: bool,
    /// Whether the transport is or was the primary one, which carries messages to the client.
    pub primary: bool,
    /// Protocol of the transport; `None` if newer than this SDK.
    pub kind: Option<TransportKind>,
    /// Number of transports after the change.
    pub transports: u32,
}

impl TransportChange {
    pub(crate) fn from_proto(change: &app::TransportChanged) -> Self {
        Self {
            number: TransportNumber(change.transport_number),
            attached: change.attached,
            primary: change.primary,
            kind: change.transport().into(),
            transports: change.transports,
        }
    }
}

impl Rejoin {
    pub(crate) fn from_proto(rejoined: app::Rejoined) -> Self {
        let asked = match rejoined.asked() {
            app::RejoinRequest::All => Rewind::All,
            app::RejoinRequest::Number => Rewind::From(MessageNumber(rejoined.asked_number)),
            app::RejoinRequest::New | app::RejoinRequest::Unspecified => Rewind::New,
        };
        let transport = rejoined.transport().into();
        let headers = rejoined.headers.into_iter().map(|header| (header.name, header.value));
        Self {
            generation: rejoined.generation,
            asked,
            from: MessageNumber(rejoined.from),
            complete: rejoined.complete,
            credentials: rejoined.credentials,
            headers: headers.collect(),
            peer_address: rejoined.peer_address,
            transport,
            identity: rejoined.identity.map(Into::into),
        }
    }
}

impl Ended {
    pub(crate) fn from_proto(ended: app::Ended) -> Self {
        let by = match ended.by() {
            app::EndedBy::Client => EndedBy::Client,
            app::EndedBy::App => EndedBy::App,
            app::EndedBy::Core | app::EndedBy::Unspecified => EndedBy::Core,
        };
        Self { reason: ended.reason, application_level: ended.application_level, by }
    }
}

//! State of one open transport in the stream machine.

use minerva_proto::{ClaimTag, MessageNumber, MessageTag, ReceivedTags, Sack};

use super::Time;
use crate::config::TransportKind;
use crate::wire::WireVersion;

/// Role of a transport.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// Carries s2c messages; on sockets also c2s messages.
    Primary,
    /// Carries c2s messages (HTTP only).
    Upload,
}

/// Outcome of a transport, as reported by its driver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// A complete HTTP response.
    Finished,
    /// Any other end: refused, disconnected or invalid input.
    Failed,
}

#[derive(Debug)]
pub(super) struct Transport {
    pub(super) kind: TransportKind,
    pub(super) role: Role,
    pub(super) version: WireVersion,
    /// Index of the address.
    pub(super) server: usize,
    /// Generation of the stream when the transport was opened.
    pub(super) generation: u64,
    pub(super) opened: Time,
    pub(super) last_received_at: Time,
    pub(super) last_sent_at: Time,
    /// Closing deadline, set when a successor is attached.
    pub(super) close_by: Option<Time>,
    pub(super) hello_sent: bool,
    /// `seenack` of the hello.
    pub(super) seen_ack: Sack,
    /// `sack` of the hello.
    pub(super) sack: Sack,
    /// The hello asked for the creation of the stream.
    pub(super) asked_new: bool,
    pub(super) reset_sent: bool,
    /// The reset was written together with the hello, after all answers to hellos with `new`: an attach failure proves
    /// that the stream is over, and that the server knows no other reason.
    pub(super) asks_reason: bool,
    /// The server has attached the transport: a frame other than a kill or the preamble arrived.
    pub(super) attached: bool,
    /// The transport made progress: messages, an acknowledgement or the creation of the stream.
    pub(super) useful: bool,
    /// Number of the next received message.
    pub(super) next_received: MessageNumber,
    /// Claim tag of the next received message (version 3).
    pub(super) tag: ClaimTag,
    /// The tag from a later message on.
    pub(super) next_tag: Option<MessageTag>,
    /// The last report of claim tags on this transport.
    pub(super) reported_tags: ReceivedTags,
    /// First message number that is not written to this transport.
    pub(super) next_sent: MessageNumber,
    /// Number that the server expects next; another number needs a SeqNum frame.
    pub(super) next_on_wire: Option<MessageNumber>,
    /// Whether the upload carried a SACK that is confirmed only by the upload's success.
    pub(super) has_unconfirmed_sack: bool,
}

impl Transport {
    pub(super) fn new(
        (kind, role, server): (TransportKind, Role, usize),
        version: WireVersion,
        generation: u64,
        now: Time,
    ) -> Self {
        Self {
            kind,
            role,
            version,
            server,
            generation,
            opened: now,
            last_received_at: now,
            last_sent_at: now,
            close_by: None,
            hello_sent: false,
            seen_ack: Sack::NONE,
            sack: Sack::NONE,
            asked_new: false,
            reset_sent: false,
            asks_reason: false,
            attached: false,
            useful: false,
            next_received: MessageNumber(0),
            tag: ClaimTag::UNKNOWN,
            next_tag: None,
            reported_tags: ReceivedTags::default(),
            next_sent: MessageNumber(0),
            next_on_wire: None,
            has_unconfirmed_sack: false,
        }
    }

    /// The server may still create the stream because of this transport.
    pub(super) fn may_create(&self) -> bool {
        self.asked_new && !self.attached
    }

    /// The claim tag of a received message.
    pub(super) fn tag_of(&mut self, number: MessageNumber) -> ClaimTag {
        if let Some(next) = self.next_tag.take_if(|next| next.first <= number) {
            self.tag = next.tag;
        }
        self.tag
    }

    pub(super) fn is_primary(&self) -> bool {
        self.role == Role::Primary
    }

    pub(super) fn is_socket(&self) -> bool {
        self.kind.is_socket()
    }
}

//! One open transport as the stream machine sees it.

use minerva_proto::Sack;

use super::Time;
use crate::config::TransportKind;

/// What a transport is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// Strings come down on it; on sockets they go up on it too.
    Primary,
    /// Takes strings up (HTTP).
    Upload,
}

/// How a transport ended, as its driver saw it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// An HTTP response that came to its end.
    Finished,
    /// Anything else: refused, cut off, not understood.
    Failed,
}

#[derive(Debug)]
pub(super) struct Transport {
    pub(super) kind: TransportKind,
    pub(super) role: Role,
    /// The generation of the stream that it was opened in.
    pub(super) generation: u64,
    pub(super) opened: Time,
    pub(super) last_heard: Time,
    /// When something was written to it last.
    pub(super) last_written: Time,
    /// If it is not over by then, it is closed: set once a successor stands.
    pub(super) close_by: Option<Time>,
    pub(super) hello_sent: bool,
    /// What the hello said that we have seen of the server's SACKs.
    pub(super) seen_ack: Sack,
    pub(super) reset_sent: bool,
    /// The server has taken it on: something other than a kill or the preamble came.
    pub(super) attached: bool,
    /// Something came of it: strings, an acknowledgement, the stream's creation.
    pub(super) useful: bool,
    /// Number of the next string that comes on it.
    pub(super) next_received: u64,
    /// Strings below this number were written to it, or needed not be.
    pub(super) next_sent: u64,
    /// The number that the server will give the next string written; it is told if it must differ.
    pub(super) next_on_wire: Option<u64>,
    /// A SACK went out on it that only its success proves to have arrived (uploads).
    pub(super) carried_sack: bool,
}

impl Transport {
    pub(super) fn new(kind: TransportKind, role: Role, generation: u64, now: Time) -> Self {
        Self {
            kind,
            role,
            generation,
            opened: now,
            last_heard: now,
            last_written: now,
            close_by: None,
            hello_sent: false,
            seen_ack: Sack::NONE,
            reset_sent: false,
            attached: false,
            useful: false,
            next_received: 0,
            next_sent: 0,
            next_on_wire: None,
            carried_sack: false,
        }
    }

    pub(super) fn is_primary(&self) -> bool {
        self.role == Role::Primary
    }

    pub(super) fn is_socket(&self) -> bool {
        self.kind.is_socket()
    }
}

//! One transport in the model: frames in flight and the state of the server.

use std::collections::VecDeque;

use minerva_proto::{ClaimTag, MessageNumber, MessageTag};

use crate::config::TransportKind;
use crate::stream::Role;
use crate::wire::Frame;

pub(super) struct Pipe {
    pub(super) kind: TransportKind,
    pub(super) role: Role,
    pub(super) up: VecDeque<Frame>,
    pub(super) down: VecDeque<Frame>,
    /// The response ends behind the frames in `down`.
    pub(super) finished: bool,
    /// The network drops all frames of this transport.
    pub(super) stalled: bool,
    pub(super) attached: bool,
    /// The client has written a reset.
    pub(super) reset: bool,
    pub(super) next_c2s: MessageNumber,
    pub(super) next_s2c: MessageNumber,
    pub(super) on_wire: Option<MessageNumber>,
    /// Claim tag that the client expects of the next message (version 3).
    pub(super) tag: ClaimTag,
    /// Claim tags that the client has reported.
    pub(super) tags: Vec<MessageTag>,
    pub(super) knows_creation: bool,
}

impl Pipe {
    pub(super) fn new(kind: TransportKind, role: Role) -> Self {
        Self {
            kind,
            role,
            up: VecDeque::new(),
            down: VecDeque::new(),
            finished: false,
            stalled: false,
            attached: false,
            reset: false,
            next_c2s: MessageNumber(0),
            next_s2c: MessageNumber(0),
            on_wire: None,
            tag: ClaimTag::UNKNOWN,
            tags: Vec::new(),
            knows_creation: false,
        }
    }
}

//! Invariants of the client in the model.

use minerva_proto::MessageNumber;

use super::pipe::Pipe;
use super::{MAX_IN_FLIGHT, World};
use crate::stream::tests::common;
use crate::stream::{Role, Transport};
use crate::wire::Frame;

impl World {
    pub(super) fn check(&self) {
        let uploads = self.client.transports.values().filter(|t| t.role == Role::Upload).count();
        assert!(uploads <= 1, "{uploads} uploads");
        let primary = |t: &&Transport| t.is_primary() && t.generation == self.client.generation;
        assert!(self.client.transports.values().filter(primary).count() <= 1);
        for transport in self.client.transports.values() {
            let in_flight = self
                .client
                .queue
                .iter_from(MessageNumber(0))
                .take_while(|(n, _)| *n < transport.next_sent);
            let costs: Vec<usize> = in_flight.map(|(_, message)| message.len() + 1).collect();
            assert!(costs.len() <= 1 || costs.iter().sum::<usize>() <= MAX_IN_FLIGHT);
        }
        assert!(self.may_end || self.client.ended().is_none(), "{:?}", self.client.ended());
        assert!(self.created <= 1, "a second stream");
    }
}

impl Pipe {
    /// Checks frames of the client: no message follows a reset, and no hello with `new` precedes one in the same write.
    pub(super) fn check_written(&mut self, frames: &[Frame]) {
        let mut is_new = false;
        for frame in frames {
            match frame {
                Frame::Hello(json) => is_new = common(json).new,
                Frame::Reset(_) => {
                    assert!(!is_new && !self.reset, "{frames:?}");
                    self.reset = true;
                }
                Frame::SeqNum(_) | Frame::Message(_) => assert!(!self.reset, "{frames:?}"),
                Frame::Sack(_)
                | Frame::StreamStatus(_)
                | Frame::Created
                | Frame::YouCloseIt
                | Frame::Comment(_)
                | Frame::Welcome(_)
                | Frame::ClaimTag(_)
                | Frame::Refusal(_)
                | Frame::CredentialsWanted
                | Frame::Credentials(_)
                | Frame::Run(_)
                | Frame::Kill(_) => {}
            }
        }
    }
}

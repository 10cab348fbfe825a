//! The stream that a hello names by service and id, and whether the hello proves the ownership.
//!
//! In version 2 the id is the proof. In version 3 the resume key is: a hello without the key gets the answers to an
//! unknown id, and creates no stream. Used by the attach path of the partition; has no state.

use minerva_proto::mutation::{self, Mutation};
use minerva_proto::{ClientProtocol, KeyHash, StreamNumber};

use super::PartitionStreams;
use super::tombstones::StreamKey;
use crate::state::{StreamProtocol, StreamState};

/// The stream with the service and the id of a hello.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NamedStream {
    /// A live stream; the hello proves the ownership.
    Live(StreamNumber),
    /// A live stream of version 2; the hello has version 3.
    OtherVersion,
    /// A stream whose ownership the hello does not prove.
    Foreign,
    /// A stream of version 3 that is over; the hello proves the ownership.
    Over,
    /// No stream; or one of version 2 that is over, and the hello has version 2.
    None,
}

impl NamedStream {
    /// The live stream of which the hello proves the ownership.
    pub(super) fn live(self) -> Option<StreamNumber> {
        if let Self::Live(number) = self { Some(number) } else { None }
    }
}

impl PartitionStreams {
    /// The stream that a hello names.
    pub(super) fn named(&self, key: &StreamKey, protocol: &ClientProtocol) -> NamedStream {
        let number = self.by_id.get(key).copied();
        let held = number.and_then(|number| Some((number, self.streams.get(&number)?.state())));
        let live = held.filter(|(_, state)| !state.is_ended());
        let own = held.map(|(_, state)| state.protocol());
        let is_superseded = live.is_some_and(|(_, state)| is_superseded(state, protocol));
        let Some(own) = own.or_else(|| self.tombstones.protocol(key)) else {
            return NamedStream::None;
        };
        match (live, is_superseded || is_proven(own, protocol), own) {
            (Some((number, _)), true, _) => NamedStream::Live(number),
            (Some(_), false, StreamProtocol::V2) => NamedStream::OtherVersion,
            (_, false, _) => NamedStream::Foreign,
            (None, true, StreamProtocol::V3 { .. }) => NamedStream::Over,
            (None, true, StreamProtocol::V2) => NamedStream::None,
        }
    }
}

/// Whether a hello proves the ownership of a stream.
fn is_proven(own: StreamProtocol, hello: &ClientProtocol) -> bool {
    match (own, hello) {
        (StreamProtocol::V2, ClientProtocol::V2) => true,
        (StreamProtocol::V3 { key }, ClientProtocol::V3(proof)) => {
            // A client that has not received the answer to its adoption repeats the old key with the new one.
            let is_repeated = proof.next.is_some_and(|next| is_key(key, next));
            is_key(key, proof.key) | is_repeated
        }
        _ => false,
    }
}

/// Whether a hello proves the ownership of the generation before the present one.
fn is_superseded(state: &StreamState, hello: &ClientProtocol) -> bool {
    match (state.session(), hello) {
        (Some(session), ClientProtocol::V3(proof)) => {
            proof.generation.number < session.generation && is_key(session.previous_key, proof.key)
        }
        (Some(_) | None, _) => false,
    }
}

/// Compares in constant time.
fn is_key(own: KeyHash, key: KeyHash) -> bool {
    if mutation::is(Mutation::ComparePrefix) {
        return own.0[0] == key.0[0];
    }
    own == key
}

//! The version of the wire protocol of a stream, and the proof of ownership that version 3 requires.
//!
//! Edges hash the resume key of a hello; cores store the hash and compare it. No core, store or application has the key.

use std::fmt;
use std::hint::black_box;

use crate::MessageNumber;

/// Length of a hash of a resume key: the first bytes of the SHA-256 of its characters.
pub const KEY_HASH_LENGTH: usize = 16;

/// Hash of a resume key. Two hashes are compared in constant time.
#[derive(Clone, Copy)]
pub struct KeyHash(pub [u8; KEY_HASH_LENGTH]);

impl KeyHash {
    /// Parses the field of a contract or a record.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }
}

impl PartialEq for KeyHash {
    fn eq(&self, other: &Self) -> bool {
        let difference =
            self.0.iter().zip(&other.0).fold(0, |all, (a, b)| black_box(all | (a ^ b)));
        difference == 0
    }
}

impl Eq for KeyHash {}

/// Hides the hash.
impl fmt::Debug for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyHash(secret)")
    }
}

/// Proof of a client that it owns a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyProof {
    /// Hash of the resume key (`key`).
    pub key: KeyHash,
    /// Hash of the key that replaces the resume key (`next`).
    pub next: Option<KeyHash>,
    /// The page load that sent the hello.
    pub generation: Generation,
}

/// One page load of a session: the fencing token of the client's process, and its requests to a core that has recorded
/// an older one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Generation {
    /// Number (`gen`); 0 for the first page load.
    pub number: u32,
    /// The requested s2c messages (`rew`).
    pub rewind: Option<Rewind>,
    /// First c2s number that is not in the stored state of the client (`own`).
    pub own: Option<MessageNumber>,
}

/// The s2c messages that a new generation requests (`rew`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rewind {
    /// `"all"`: all retained messages.
    All,
    /// `"new"`: messages that no generation has acknowledged.
    New,
    /// Messages from this number on.
    From(MessageNumber),
}

impl KeyProof {
    /// Whether the hello requests the positions of a new generation: no welcome of this generation has arrived.
    pub fn requests_positions(&self) -> bool {
        let Generation { number, rewind, own } = self.generation;
        number > 0 && (self.next.is_some() || rewind.is_some() || own.is_some())
    }
}

/// The version of the protocol of a transport, with the content that the version adds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ClientProtocol {
    /// Version 2: text of bytes 0x20-0x7E. The stream id is the only proof of ownership.
    #[default]
    V2,
    /// Version 3: text and binary messages.
    V3(KeyProof),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_differ_in_any_byte() {
        let hash = KeyHash([7; KEY_HASH_LENGTH]);
        assert_eq!(hash, KeyHash([7; KEY_HASH_LENGTH]));
        for position in 0..KEY_HASH_LENGTH {
            let mut other = hash.0;
            other[position] ^= 0x80;
            assert_ne!(hash, KeyHash(other), "{position}");
        }
    }
}

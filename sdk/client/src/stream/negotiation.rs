//! The version of the protocol of a stream, and the content that version 3 adds: resume key, creation of the stream and
//! longest message. Pure; called by the stream machine.
//!
//! A stream has one version for life. A client falls back to version 2 only before the first welcome, and only if version 2
//! carries all queued messages.

use minerva_proto::v3::{self, ResumeKey, StreamCreation, Welcome};
use minerva_proto::{ClaimTag, MAX_MESSAGE, Message, ReceivedTags};

use crate::config::Version;
use crate::error::SendError;
use crate::wire::WireVersion;

#[derive(Debug)]
pub(super) struct Negotiation {
    requested: Version,
    /// Version of new transports.
    version: WireVersion,
    /// No other version is possible: requested, negotiated, or confirmed by the server.
    is_final: bool,
    key: ResumeKey,
    creation: Option<StreamCreation>,
    /// Longest message, in bytes.
    max_message: usize,
    /// A message that version 2 does not carry was queued.
    needs_version_3: bool,
    /// The server inflates compressed runs.
    server_inflates: bool,
}

impl Negotiation {
    /// `key` must be random.
    pub(super) fn new(requested: Version, key: ResumeKey) -> Self {
        let version = match requested {
            Version::V2 => WireVersion::V2,
            Version::Auto | Version::V3 => WireVersion::V3,
        };
        let is_final = requested != Version::Auto;
        Self {
            requested,
            version,
            is_final,
            key,
            creation: None,
            max_message: MAX_MESSAGE,
            needs_version_3: false,
            server_inflates: false,
        }
    }

    /// Version of new transports.
    pub(super) fn version(&self) -> WireVersion {
        self.version
    }

    /// Checks that the version carries a message.
    pub(super) fn check(&self, message: &Message) -> Result<(), SendError> {
        if message.len() > self.max_message {
            return Err(SendError::TooLong);
        }
        if self.version == WireVersion::V2 && !message.is_ascii_text() {
            return Err(SendError::Unsupported);
        }
        Ok(())
    }

    /// Records a queued message.
    pub(super) fn on_queued(&mut self, message: &Message) {
        self.needs_version_3 |= !self.is_final && !message.is_ascii_text();
    }

    /// Takes the content of a welcome.
    pub(super) fn on_welcome(&mut self, welcome: &Welcome) {
        self.is_final = true;
        self.creation = self.creation.or(welcome.born);
        self.max_message = welcome.max.unwrap_or(self.max_message);
        self.server_inflates |= welcome.inflates;
    }

    /// Whether the server inflates compressed runs.
    pub(super) fn server_inflates(&self) -> bool {
        self.server_inflates
    }

    /// Continues with version 2, the only version of the server. Returns false if this is impossible.
    pub(super) fn fall_back(&mut self) -> bool {
        let may_fall_back = self.requested == Version::Auto
            && (self.version == WireVersion::V2 || !(self.is_final || self.needs_version_3));
        if may_fall_back {
            (self.version, self.is_final) = (WireVersion::V2, true);
        }
        may_fall_back
    }

    /// The hello of version 3, of the first generation.
    pub(super) fn hello(&self, common: minerva_proto::Hello, tags: ReceivedTags) -> v3::Hello {
        v3::Hello {
            common,
            key: self.key.clone(),
            next: None,
            generation: 0,
            rewind: None,
            own: None,
            born: self.creation,
            tags,
            inflates: true,
        }
    }

    /// Continues a stream of an earlier process.
    pub(super) fn resume(&mut self, creation: Option<StreamCreation>) {
        self.creation = creation;
    }

    /// Replaces the key, after the server has accepted a generation.
    pub(super) fn replace_key(&mut self, key: ResumeKey) {
        self.key = key;
    }

    /// Creation of the stream, once known.
    pub(super) fn creation(&self) -> Option<StreamCreation> {
        self.creation
    }

    /// Claim tag of the creation of the stream.
    pub(super) fn creation_tag(&self) -> ClaimTag {
        self.creation.map_or(ClaimTag::UNKNOWN, |creation| creation.tag)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn negotiation(requested: Version) -> Negotiation {
        Negotiation::new(requested, ResumeKey::parse("Zk1uQ0pXc3VqV2h5dEJtRQ").unwrap())
    }

    #[test]
    fn only_the_automatic_choice_falls_back_and_only_before_the_welcome() {
        for (requested, expected) in
            [(Version::Auto, true), (Version::V2, false), (Version::V3, false)]
        {
            assert_eq!(negotiation(requested).fall_back(), expected, "{requested:?}");
        }
        let mut welcomed = negotiation(Version::Auto);
        welcomed.on_welcome(&Welcome::default());
        assert!(!welcomed.fall_back());
        let mut again = negotiation(Version::Auto);
        assert!(again.fall_back() && again.fall_back());
        assert_eq!(again.version(), WireVersion::V2);
    }

    #[test]
    fn a_message_that_version_2_does_not_carry_prevents_the_fall_back() {
        for (message, expected) in [
            ("a~ ".into(), true),
            ("é".into(), false),
            ("a\n".into(), false),
            (Message::from(vec![b'a']), false),
            ("x".repeat(MAX_MESSAGE).into(), true),
        ] {
            let mut negotiation = negotiation(Version::Auto);
            assert_eq!(negotiation.check(&message), Ok(()));
            negotiation.on_queued(&message);
            assert_eq!(negotiation.fall_back(), expected, "{message:?}");
        }
    }

    #[test]
    fn the_longest_message_is_that_of_the_server() {
        let check = |negotiation: &Negotiation, length: usize| {
            negotiation.check(&"x".repeat(length).into())
        };
        for version in [Version::V2, Version::V3, Version::Auto] {
            for (length, ok) in
                [(MAX_MESSAGE - 1, true), (MAX_MESSAGE, true), (MAX_MESSAGE + 1, false)]
            {
                let expected = if ok { Ok(()) } else { Err(SendError::TooLong) };
                assert_eq!(check(&negotiation(version), length), expected, "{version:?} {length}");
            }
        }
        let mut three = negotiation(Version::V3);
        three.on_welcome(&Welcome { max: Some(10), ..Welcome::default() });
        three.on_welcome(&Welcome::default());
        assert_eq!((check(&three, 10), check(&three, 11)), (Ok(()), Err(SendError::TooLong)));
        let two = negotiation(Version::V2);
        assert_eq!(two.check(&"é".into()), Err(SendError::Unsupported));
        assert_eq!(two.check(&vec![1].into()), Err(SendError::Unsupported));
    }
}

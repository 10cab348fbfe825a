//! The stored form of sessions: retention, generations and Rejoined events; a part of records and snapshots. Version 6.

use std::sync::Arc;

use bytes::Bytes;
use minerva_proto::{EventNumber, KeyHash, MAX_NUMBER, MessageNumber, Rewind};
use prost::Message;

use super::super::session::{NumberedRejoin, Rejoin, Retention, Session};
use super::DecodeError;
use super::stored_origin::{StoredHeader, kind_number, kind_of};

/// Values of `asked`.
const ASKED_ALL: u32 = 1;
const ASKED_NEW: u32 = 2;
const ASKED_NUMBER: u32 = 3;

#[derive(Clone, PartialEq, Message)]
pub(super) struct StoredRetention {
    #[prost(uint32, tag = "1")]
    messages: u32,
    #[prost(uint32, tag = "2")]
    bytes: u32,
    #[prost(uint64, tag = "3")]
    age_ms: u64,
    #[prost(bool, tag = "4")]
    hold: bool,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct StoredAdopted {
    #[prost(bytes = "bytes", tag = "1")]
    key: Bytes,
    #[prost(uint64, tag = "2")]
    own: u64,
    /// The generation is that of the rejoin.
    #[prost(message, optional, tag = "3")]
    rejoin: Option<StoredRejoin>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct StoredRejoin {
    #[prost(uint32, tag = "1")]
    generation: u32,
    #[prost(uint32, tag = "2")]
    asked: u32,
    #[prost(uint64, tag = "3")]
    asked_number: u64,
    #[prost(uint64, tag = "4")]
    from: u64,
    #[prost(bool, tag = "5")]
    complete: bool,
    #[prost(string, tag = "6")]
    credentials: String,
    #[prost(message, repeated, tag = "7")]
    headers: Vec<StoredHeader>,
    #[prost(string, tag = "8")]
    peer_address: String,
    #[prost(uint32, tag = "9")]
    kind: u32,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct StoredRejoined {
    #[prost(uint64, tag = "1")]
    event: u64,
    #[prost(message, optional, tag = "2")]
    rejoin: Option<StoredRejoin>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct StoredSession {
    #[prost(uint32, tag = "1")]
    generation: u32,
    #[prost(bytes = "bytes", tag = "2")]
    key: Bytes,
    #[prost(bytes = "bytes", tag = "3")]
    previous_key: Bytes,
    #[prost(uint64, tag = "4")]
    own: u64,
    #[prost(uint64, tag = "5")]
    rejoins: u64,
    #[prost(uint64, tag = "6")]
    skipped: u64,
    /// First number and end of each pending range.
    #[prost(uint64, repeated, tag = "7")]
    pending: Vec<u64>,
}

/// The stored form; `None` for the default.
pub(super) fn stored_retention(retention: &Retention) -> Option<StoredRetention> {
    let Retention { messages, bytes, age_ms, hold } = *retention;
    (*retention != Retention::default()).then_some(StoredRetention {
        messages,
        bytes,
        age_ms,
        hold,
    })
}

pub(super) fn retention_of(stored: Option<StoredRetention>) -> Retention {
    let StoredRetention { messages, bytes, age_ms, hold } = stored.unwrap_or_default();
    Retention { messages, bytes, age_ms, hold }
}

fn key_of(bytes: &[u8]) -> Result<KeyHash, DecodeError> {
    KeyHash::parse(bytes).ok_or(DecodeError::Field("key"))
}

fn number_of(field: &'static str, number: u64) -> Result<MessageNumber, DecodeError> {
    if number > MAX_NUMBER + 1 { Err(DecodeError::Field(field)) } else { Ok(MessageNumber(number)) }
}

impl StoredAdopted {
    pub(super) fn new(key: KeyHash, own: MessageNumber, rejoin: &Rejoin) -> Self {
        Self { key: Bytes::copy_from_slice(&key.0), own: own.0, rejoin: Some(rejoin.into()) }
    }

    pub(super) fn into_parts(self) -> Result<(KeyHash, MessageNumber, Arc<Rejoin>), DecodeError> {
        let rejoin = self.rejoin.ok_or(DecodeError::Field("rejoin"))?;
        Ok((key_of(&self.key)?, number_of("own", self.own)?, Rejoin::try_from(rejoin)?.into()))
    }
}

impl From<&Rejoin> for StoredRejoin {
    fn from(rejoin: &Rejoin) -> Self {
        let (asked, asked_number) = match rejoin.asked {
            Rewind::All => (ASKED_ALL, 0),
            Rewind::New => (ASKED_NEW, 0),
            Rewind::From(number) => (ASKED_NUMBER, number.0),
        };
        Self {
            generation: rejoin.generation,
            asked,
            asked_number,
            from: rejoin.from.0,
            complete: rejoin.complete,
            credentials: rejoin.credentials.clone(),
            headers: rejoin.headers.iter().map(StoredHeader::from).collect(),
            peer_address: rejoin.peer_address.clone(),
            kind: kind_number(rejoin.kind),
        }
    }
}

impl TryFrom<StoredRejoin> for Rejoin {
    type Error = DecodeError;

    fn try_from(stored: StoredRejoin) -> Result<Self, DecodeError> {
        let asked = match stored.asked {
            ASKED_ALL => Rewind::All,
            ASKED_NEW => Rewind::New,
            ASKED_NUMBER => Rewind::From(number_of("asked", stored.asked_number)?),
            _ => return Err(DecodeError::Field("asked")),
        };
        Ok(Self {
            generation: stored.generation,
            asked,
            from: number_of("from", stored.from)?,
            complete: stored.complete,
            credentials: stored.credentials,
            headers: stored.headers.into_iter().map(StoredHeader::into_pair).collect(),
            peer_address: stored.peer_address,
            kind: kind_of(stored.kind),
        })
    }
}

impl From<&NumberedRejoin> for StoredRejoined {
    fn from((event, rejoin): &NumberedRejoin) -> Self {
        Self { event: event.0, rejoin: Some(rejoin.as_ref().into()) }
    }
}

impl StoredRejoined {
    pub(super) fn into_numbered(self) -> Result<NumberedRejoin, DecodeError> {
        let rejoin = self.rejoin.ok_or(DecodeError::Field("rejoin"))?;
        Ok((EventNumber(self.event), Rejoin::try_from(rejoin)?.into()))
    }
}

impl From<&Session> for StoredSession {
    fn from(session: &Session) -> Self {
        let hash = |key: &KeyHash| Bytes::copy_from_slice(&key.0);
        Self {
            generation: session.generation,
            key: hash(&session.key),
            previous_key: hash(&session.previous_key),
            own: session.own.0,
            rejoins: session.rejoins,
            skipped: session.skipped,
            pending: session.pending.iter().flat_map(|(from, to)| [from.0, to.0]).collect(),
        }
    }
}

impl TryFrom<StoredSession> for Session {
    type Error = DecodeError;

    fn try_from(stored: StoredSession) -> Result<Self, DecodeError> {
        if !stored.pending.len().is_multiple_of(2) {
            return Err(DecodeError::Field("pending"));
        }
        let range = |pair: &[u64]| match pair {
            [from, to] => Ok((number_of("pending", *from)?, number_of("pending", *to)?)),
            _ => Err(DecodeError::Field("pending")),
        };
        Ok(Self {
            generation: stored.generation,
            key: key_of(&stored.key)?,
            previous_key: key_of(&stored.previous_key)?,
            own: number_of("own", stored.own)?,
            rejoins: stored.rejoins,
            skipped: stored.skipped,
            pending: stored.pending.chunks(2).map(range).collect::<Result<_, _>>()?,
        })
    }
}

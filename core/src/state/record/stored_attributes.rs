//! The stored form of attributes set by applications; a part of snapshots.

use bytes::Bytes;
use prost::Message;

use super::super::attributes::{Attributes, OutboxLimits};
use super::super::session::Retention;

#[derive(Clone, PartialEq, Message)]
pub(super) struct StoredAttributes {
    #[prost(string, optional, tag = "1")]
    label: Option<String>,
    #[prost(string, repeated, tag = "2")]
    groups: Vec<String>,
    #[prost(uint64, tag = "3")]
    pushed: u64,
    #[prost(bytes = "bytes", repeated, tag = "4")]
    keys: Vec<Bytes>,
    #[prost(uint32, optional, tag = "5")]
    outbox_bytes: Option<u32>,
    #[prost(uint32, optional, tag = "6")]
    outbox_messages: Option<u32>,
}

impl From<&Attributes> for StoredAttributes {
    fn from(attributes: &Attributes) -> Self {
        Self {
            label: attributes.label.as_deref().map(str::to_owned),
            groups: attributes.groups.iter().map(|group| group.to_string()).collect(),
            pushed: attributes.pushed,
            keys: attributes.keys.iter().cloned().collect(),
            outbox_bytes: attributes.outbox.bytes,
            outbox_messages: attributes.outbox.messages,
        }
    }
}

impl From<StoredAttributes> for Attributes {
    fn from(stored: StoredAttributes) -> Self {
        Self {
            label: stored.label.map(Into::into),
            groups: stored.groups.into_iter().map(Into::into).collect(),
            pushed: stored.pushed,
            // Copies, because a slice would retain the whole checkpoint.
            keys: stored.keys.iter().map(|key| Bytes::copy_from_slice(key)).collect(),
            outbox: OutboxLimits { bytes: stored.outbox_bytes, messages: stored.outbox_messages },
            finish: None,
            retention: Retention::default(),
        }
    }
}

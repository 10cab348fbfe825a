//! Loads the data of a partition after a claim.
//!
//! Only the new owner can change the data meanwhile, unless another claim fences the owner. The epoch is therefore
//! checked at the end.

use bytes::Bytes;
use minerva_proto::LogIndex;
use redis::{Value, cmd};

use super::super::claims::decode_readable;
use super::super::{Claim, Claimed, Epoch, RecordedSizes, StoreError};
use super::client::Client;
use super::read::{into_bytes, read_log, read_streams};
use super::reply::{number, text};

/// Reply of the claim script.
pub(super) struct ClaimReply {
    pub(super) epoch: Epoch,
    first: LogIndex,
    /// Number of log entries.
    length: u64,
    claims: Vec<Claim>,
    meta: Option<Bytes>,
    recorded: Option<RecordedSizes>,
}

impl ClaimReply {
    /// Parses the values after `ok`.
    pub(super) fn parse(mut parts: impl Iterator<Item = Value>) -> Result<Self, StoreError> {
        let mut next = || number(parts.next());
        let (epoch, first, length) = (next()?, next()?, next()?);
        let claims = parts.next().and_then(into_bytes).unwrap_or_default();
        let (claims, _) = decode_readable(&String::from_utf8_lossy(&claims));
        let meta = parts.next().and_then(into_bytes);
        let mut size = || number(parts.next()).ok();
        let sizes = size().zip(size());
        let recorded = sizes.map(|(next_index, streams)| RecordedSizes {
            next_index: LogIndex(next_index),
            streams,
        });
        Ok(Self { epoch: Epoch(epoch), first: LogIndex(first), length, claims, meta, recorded })
    }
}

/// Loads log and streams of a claimed partition.
pub(super) async fn load_partition(
    client: &Client,
    partition: u32,
    claim: ClaimReply,
) -> Result<Claimed, StoreError> {
    let keys = client.keys(partition);
    let log = read_log(client, partition, &keys, claim.length).await?;
    let (streams, unreadable) = read_streams(client, partition, &keys.streams).await?;
    let query = cmd("HGET").arg(&keys.head).arg("epoch").take();
    let current = client.send_to_partition(partition, query, 0, false).await?;
    if text(Some(current)).ok() != Some(claim.epoch.to_string()) {
        return Err(StoreError::Fenced);
    }
    if log.len() as u64 != claim.length {
        return Err(StoreError::Corrupt("the length of its log has changed".to_owned()));
    }
    let ClaimReply { epoch, first: first_index, claims, meta, recorded, .. } = claim;
    Ok(Claimed { epoch, claims, meta, streams, unreadable, first_index, log, recorded })
}

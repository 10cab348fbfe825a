//! Loads the data of a partition after a claim, in pieces, so that no reply is huge and none blocks the server.
//!
//! Only the new owner can change the data meanwhile, unless another claim fences the owner. The epoch is therefore
//! checked at the end.

use std::collections::BTreeMap;

use bytes::Bytes;
use minerva_proto::{LogIndex, StreamNumber};
use redis::{FromRedisValue, Value, cmd};

use super::super::claims::decode;
use super::super::{Claim, Claimed, Epoch, StoreError};
use super::client::Client;
use super::keys::PartitionKeys;
use super::reply::{number, text};

/// Log entries or streams per reply. An entry has some KiB on average and some MiB at most.
const PIECE: u64 = 64;

/// Reply of the claim script.
pub(super) struct ClaimReply {
    pub(super) epoch: Epoch,
    first: LogIndex,
    /// Number of log entries.
    length: u64,
    claims: Vec<Claim>,
    meta: Option<Bytes>,
}

impl ClaimReply {
    /// Parses the values after `ok`.
    pub(super) fn parse(mut parts: impl Iterator<Item = Value>) -> Result<Self, StoreError> {
        let mut next = || number(parts.next());
        let (epoch, first, length) = (next()?, next()?, next()?);
        let claims = decode(&text(parts.next())?)?;
        let meta = parts.next().and_then(into_bytes);
        Ok(Self { epoch: Epoch(epoch), first: LogIndex(first), length, claims, meta })
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
    let streams = read_streams(client, partition, &keys).await?;
    let query = cmd("HGET").arg(&keys.head).arg("epoch").take();
    let current = client.send_to_partition(partition, query, 0, false).await?;
    if number(Some(current))? != claim.epoch.0 {
        return Err(StoreError::Fenced);
    }
    if log.len() as u64 != claim.length {
        return Err(corrupt(partition, "the length of its log has changed"));
    }
    let streams = streams.into_iter().collect();
    let ClaimReply { epoch, first: first_index, claims, meta, .. } = claim;
    Ok(Claimed { epoch, claims, meta, streams, first_index, log })
}

async fn read_log(
    client: &Client,
    partition: u32,
    keys: &PartitionKeys,
    length: u64,
) -> Result<Vec<Bytes>, StoreError> {
    let mut log = Vec::new();
    for from in (0..length).step_by(PIECE as usize) {
        let to = (from + PIECE).min(length) - 1;
        let command = cmd("LRANGE").arg(&keys.log).arg(from).arg(to).take();
        let piece = client.send_to_partition(partition, command, 0, false).await?;
        let blobs = Vec::<Value>::from_redis_value(piece)
            .map_err(|_| corrupt(partition, "its log is not a list"))?;
        for blob in blobs {
            log.push(
                into_bytes(blob)
                    .ok_or_else(|| corrupt(partition, "a log entry is not a string"))?,
            );
        }
    }
    Ok(log)
}

/// Scans the streams; HSCAN may return a stream several times.
async fn read_streams(
    client: &Client,
    partition: u32,
    keys: &PartitionKeys,
) -> Result<BTreeMap<StreamNumber, Bytes>, StoreError> {
    let wrong = || corrupt(partition, "its streams are unreadable");
    let (mut streams, mut cursor) = (BTreeMap::new(), "0".to_owned());
    loop {
        let command = cmd("HSCAN").arg(&keys.streams).arg(&cursor).arg("COUNT").arg(PIECE).take();
        let piece = client.send_to_partition(partition, command, 0, false).await?;
        let (next, pairs) = <(String, Vec<Value>)>::from_redis_value(piece).map_err(|_| wrong())?;
        let mut pairs = pairs.into_iter();
        while let (Some(stream), Some(blob)) = (pairs.next(), pairs.next()) {
            let stream = StreamNumber(number(Some(stream)).map_err(|_| wrong())?);
            streams.insert(stream, into_bytes(blob).ok_or_else(wrong)?);
        }
        if next == "0" {
            return Ok(streams);
        }
        cursor = next;
    }
}

fn into_bytes(value: Value) -> Option<Bytes> {
    if let Value::BulkString(bytes) = value { Some(Bytes::from(bytes)) } else { None }
}

fn corrupt(partition: u32, problem: &str) -> StoreError {
    StoreError::Corrupt(format!("partition {partition} in Redis: {problem}"))
}

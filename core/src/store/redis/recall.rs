//! Reading what a partition has, after it was claimed. In pieces, so that no answer is huge and none
//! holds up the server; nobody but the new owner can change it meanwhile, unless it is fenced itself,
//! which is checked at the end.

use std::collections::BTreeMap;

use bytes::Bytes;
use redis::{FromRedisValue, Value, cmd};

use super::super::claims::decode;
use super::super::{Claim, Claimed, Epoch, StoreError};
use super::Shared;
use super::keys::PartitionKeys;
use super::reply::{number, text};

/// Log entries and streams in one answer. An entry is some KiB on average and some MiB at most.
const PIECE: u64 = 64;

/// What a claim answered.
pub(super) struct Head {
    pub(super) epoch: u64,
    first: u64,
    /// Entries in the log.
    length: u64,
    claims: Vec<Claim>,
    meta: Option<Bytes>,
}

impl Head {
    /// Reads what stands behind the `ok` of a claim.
    pub(super) fn parse(mut parts: impl Iterator<Item = Value>) -> Result<Self, StoreError> {
        let mut next = || number(parts.next());
        let (epoch, first, length) = (next()?, next()?, next()?);
        let claims = decode(&text(parts.next())?)?;
        let meta = parts.next().and_then(into_bytes);
        Ok(Self { epoch, first, length, claims, meta })
    }
}

/// Reads the log and the streams.
pub(super) async fn recall(
    shared: &Shared,
    partition: u32,
    head: Head,
) -> Result<Claimed, StoreError> {
    let keys = shared.keys(partition);
    let log = read_log(shared, partition, &keys, head.length).await?;
    let streams = read_streams(shared, partition, &keys).await?;
    let now = shared.call(partition, cmd("HGET").arg(&keys.head).arg("epoch").take(), 0, false);
    if number(Some(now.await?))? != head.epoch {
        return Err(StoreError::Fenced);
    }
    if log.len() as u64 != head.length {
        return Err(corrupt(partition, "its log has another length than a moment before"));
    }
    let streams = streams.into_iter().collect();
    let Head { first: first_index, claims, meta, .. } = head;
    Ok(Claimed { epoch: Epoch(head.epoch), claims, meta, streams, first_index, log })
}

async fn read_log(
    shared: &Shared,
    partition: u32,
    keys: &PartitionKeys,
    length: u64,
) -> Result<Vec<Bytes>, StoreError> {
    let mut log = Vec::new();
    for from in (0..length).step_by(PIECE as usize) {
        let to = (from + PIECE).min(length) - 1;
        let command = cmd("LRANGE").arg(&keys.log).arg(from).arg(to).take();
        let piece = shared.call(partition, command, 0, false).await?;
        let blobs = Vec::<Value>::from_redis_value(piece)
            .map_err(|_| corrupt(partition, "its log is no list"))?;
        for blob in blobs {
            log.push(into_bytes(blob).ok_or_else(|| corrupt(partition, "its log has no bytes"))?);
        }
    }
    Ok(log)
}

/// Goes over the streams; the server may say one several times.
async fn read_streams(
    shared: &Shared,
    partition: u32,
    keys: &PartitionKeys,
) -> Result<BTreeMap<u64, Bytes>, StoreError> {
    let wrong = || corrupt(partition, "its streams cannot be read");
    let (mut streams, mut cursor) = (BTreeMap::new(), "0".to_owned());
    loop {
        let command = cmd("HSCAN").arg(&keys.streams).arg(&cursor).arg("COUNT").arg(PIECE).take();
        let piece = shared.call(partition, command, 0, false).await?;
        let (next, pairs) = <(String, Vec<Value>)>::from_redis_value(piece).map_err(|_| wrong())?;
        let mut pairs = pairs.into_iter();
        while let (Some(stream), Some(blob)) = (pairs.next(), pairs.next()) {
            let stream = number(Some(stream)).map_err(|_| wrong())?;
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

fn corrupt(partition: u32, what: &str) -> StoreError {
    StoreError::Corrupt(format!("partition {partition} in Redis: {what}"))
}

//! Reads a partition without a claim, for an operator, while an owner may serve the partition.
//!
//! The owner may write a checkpoint during the reads. The head is therefore read before and after them, and all reads
//! are repeated if it has changed.

use std::collections::HashMap;

use bytes::Bytes;
use minerva_proto::LogIndex;
use redis::{FromRedisValue, Value, cmd};

use super::super::claims::decode_readable;
use super::super::{Epoch, RecordedSizes, StoreError, StoredPartition};
use super::client::Client;
use super::keys::PartitionKeys;
use super::read::{into_bytes, read_hash, read_log, read_streams};
use super::reply::number;

/// Printed bytes of a damaged field.
const MAX_TEXT: usize = 100;

/// Attempts to read a partition between two checkpoints.
const ATTEMPTS: u32 = 10;

/// Fields of the head that an inspection reads.
const FIELDS: [&str; 8] =
    ["epoch", "first", "owner", "claims", "claim", "checkpoints", "meta", "sizes"];

type Head = [Option<Bytes>; 8];

/// Fields that change with each checkpoint; `sizes` changes with each renewal.
const COMPARED: usize = 7;

/// Reads a partition, and its damaged blobs if their keys are given.
pub(super) async fn inspect(
    client: &Client,
    partition: u32,
    keys: &PartitionKeys,
    quarantine: Option<&[String; 2]>,
) -> Result<StoredPartition, StoreError> {
    for _ in 0..ATTEMPTS {
        let head = read_head(client, partition, keys).await?;
        let mut found = from_head(&head);
        let length = cmd("LLEN").arg(&keys.log).take();
        let length = number(Some(client.send_to_partition(partition, length, 0, false).await?))?;
        found.log = read_log(client, partition, keys, length).await?;
        (found.streams, found.unreadable) = read_streams(client, partition, &keys.streams).await?;
        if let Some(quarantine) = quarantine {
            found.quarantined = read_quarantine(client, partition, quarantine).await?;
        }
        if read_head(client, partition, keys).await?[..COMPARED] == head[..COMPARED] {
            return Ok(found);
        }
    }
    Err(StoreError::Unavailable("the partition changes too fast to be read".to_owned()))
}

async fn read_head(
    client: &Client,
    partition: u32,
    keys: &PartitionKeys,
) -> Result<Head, StoreError> {
    let command = cmd("HMGET").arg(&keys.head).arg(&FIELDS).take();
    let values = client.send_to_partition(partition, command, 0, false).await?;
    let values = Vec::<Value>::from_redis_value(values).unwrap_or_default();
    let mut values = values.into_iter().map(into_bytes);
    Ok(std::array::from_fn(|_| values.next().flatten()))
}

fn from_head([epoch, first, owner, claims, claim, _, meta, sizes]: &Head) -> StoredPartition {
    let mut problems = Vec::new();
    let mut number = |name: &str, value: &Option<Bytes>| {
        let Some(value) = value else { return 0 };
        let parsed = str::from_utf8(value).ok().and_then(|text| text.parse().ok());
        parsed.unwrap_or_else(|| {
            problems.push(format!("the {name} `{}` is not a number", printable(value)));
            0
        })
    };
    let (epoch, first) = (number("epoch", epoch), number("first index", first));
    let text = |value: &Option<Bytes>| {
        value.as_deref().map(|value| String::from_utf8_lossy(value).into_owned())
    };
    let (claims, are_damaged) = decode_readable(&text(claims).unwrap_or_default());
    if are_damaged {
        problems.push("the claim history is damaged".to_owned());
    }
    if let Some(last) = claims.last().filter(|last| last.epoch.0 > epoch) {
        problems.push(format!("the epoch {epoch} is below that of the last claim, {}", last.epoch));
    }
    StoredPartition {
        epoch: Epoch(epoch),
        owner: text(owner).filter(|owner| !owner.is_empty()),
        claims,
        meta: meta.clone(),
        first_index: LogIndex(first),
        recorded: claim
            .as_ref()
            .zip(sizes.as_ref())
            .and_then(|(claim, sizes)| parse_sizes(sizes, claim)),
        problems,
        ..StoredPartition::default()
    }
}

/// Parses the recorded sizes as `sizes.lua`.
fn parse_sizes(sizes: &[u8], claim: &[u8]) -> Option<RecordedSizes> {
    let text = str::from_utf8(sizes).ok()?;
    let parts: Vec<&str> = text.split(' ').collect();
    let [ends, streams, name, ends_again, streams_again] = parts[..] else { return None };
    let is_intact = (ends, streams, name.as_bytes()) == (ends_again, streams_again, claim);
    let sizes = (ends.parse().ok()?, streams.parse().ok()?);
    is_intact.then_some(RecordedSizes { next_index: LogIndex(sizes.0), streams: sizes.1 })
}

/// A name or number in the store as printable text.
fn printable(name: &[u8]) -> String {
    let shown = &name[..name.len().min(MAX_TEXT)];
    let dots = if name.len() > MAX_TEXT { "..." } else { "" };
    format!("{}{dots}", shown.escape_ascii())
}

/// Reads the damaged blobs in order of age.
async fn read_quarantine(
    client: &Client,
    partition: u32,
    [blobs_key, names_key]: &[String; 2],
) -> Result<Vec<(String, Bytes)>, StoreError> {
    let blobs = read_hash(client, partition, blobs_key).await?;
    let mut blobs: HashMap<Bytes, Bytes> = blobs.into_iter().collect();
    let command = cmd("LRANGE").arg(names_key).arg(0).arg(-1).take();
    let names = client.send_to_partition(partition, command, 0, false).await?;
    let names = Vec::<Value>::from_redis_value(names).unwrap_or_default();
    let names = names.into_iter().filter_map(into_bytes);
    let blobs = names.filter_map(|name| blobs.remove_entry(&name));
    Ok(blobs.map(|(name, blob)| (printable(&name), blob)).collect())
}

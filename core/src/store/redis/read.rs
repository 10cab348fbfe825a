//! Reads logs and hashes of a partition in pieces, so that no reply is huge and none blocks the server.
//!
//! Used after a claim and by an inspection.

use std::collections::BTreeMap;

use bytes::Bytes;
use minerva_proto::StreamNumber;
use redis::{FromRedisValue, Value, cmd};

use super::super::StoreError;
use super::client::Client;
use super::keys::PartitionKeys;

/// Log entries or streams per reply. An entry has some KiB on average and some MiB at most.
const PIECE: u64 = 64;

/// Blobs by stored name, which may be damaged.
pub(super) type NamedBlobs = Vec<(Bytes, Bytes)>;

/// Reads the first `length` blobs of the log; fewer if the log is shorter.
pub(super) async fn read_log(
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
        let blobs =
            Vec::<Value>::from_redis_value(piece).map_err(|_| corrupt("its log is not a list"))?;
        for blob in blobs {
            log.push(into_bytes(blob).ok_or_else(|| corrupt("a log entry is not a string"))?);
        }
    }
    Ok(log)
}

/// Reads all streams in ascending order, and separately the blobs whose name is not a stream number.
pub(super) async fn read_streams(
    client: &Client,
    partition: u32,
    key: &str,
) -> Result<(Vec<(StreamNumber, Bytes)>, NamedBlobs), StoreError> {
    let (mut streams, mut unreadable) = (BTreeMap::new(), Vec::new());
    for (name, blob) in read_hash(client, partition, key).await? {
        match stream_number(&name) {
            Some(number) => drop(streams.insert(number, blob)),
            None => unreadable.push((name, blob)),
        }
    }
    Ok((streams.into_iter().collect(), unreadable))
}

/// Scans a hash of blobs in ascending order of the names; HSCAN may return a field several times.
pub(super) async fn read_hash(
    client: &Client,
    partition: u32,
    key: &str,
) -> Result<NamedBlobs, StoreError> {
    let wrong = || corrupt("its streams are unreadable");
    let (mut blobs, mut cursor) = (BTreeMap::new(), "0".to_owned());
    loop {
        let command = cmd("HSCAN").arg(key).arg(&cursor).arg("COUNT").arg(PIECE).take();
        let piece = client.send_to_partition(partition, command, 0, false).await?;
        let (next, pairs) = <(String, Vec<Value>)>::from_redis_value(piece).map_err(|_| wrong())?;
        let mut pairs = pairs.into_iter().map(|part| into_bytes(part).ok_or_else(wrong));
        while let (Some(name), Some(blob)) = (pairs.next(), pairs.next()) {
            blobs.insert(name?, blob?);
        }
        if next == "0" {
            break;
        }
        cursor = next;
    }
    Ok(blobs.into_iter().collect())
}

/// The number of a stream in its only form: decimal digits without sign and leading zero.
fn stream_number(name: &[u8]) -> Option<StreamNumber> {
    let number = str::from_utf8(name).ok()?.parse::<u64>().ok()?;
    (number.to_string().as_bytes() == name).then_some(StreamNumber(number))
}

pub(super) fn into_bytes(value: Value) -> Option<Bytes> {
    if let Value::BulkString(bytes) = value { Some(Bytes::from(bytes)) } else { None }
}

fn corrupt(problem: &str) -> StoreError {
    StoreError::Corrupt(problem.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_decimal_form_is_a_stream_number() {
        assert_eq!(stream_number(b"18446744073709551615"), Some(StreamNumber(u64::MAX)));
        assert_eq!(stream_number(b"0"), Some(StreamNumber(0)));
        for name in ["", "+7", "07", "7 ", "-7", "18446744073709551616", "x"] {
            assert_eq!(stream_number(name.as_bytes()), None, "{name}");
        }
    }
}

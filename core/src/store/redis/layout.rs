//! The layout of a store in Redis: sets number of partitions and hash key at the first use, and checks them later.
//!
//! `redis.rs` is the caller. The handle remembers the layout, because a store can lose it in a rollback. Each heartbeat
//! restores a lost layout: a core that starts with another one could not read the streams of living cores.

use std::sync::{Mutex, PoisonError};

use redis::{Cmd, FromRedisValue, Value, cmd};

use super::super::StoreError;
use super::super::copies::majority;
use super::super::layout::{HashKey, PartitionLayout, check_partitions, random_key};
use super::super::version::check_version;
use super::client::Client;
use super::keys::{format_keys, partitions_key, store_slot};
use super::pipeline::Command;
use super::reply;
use super::scripts::Script;

/// The layout that this handle has returned.
#[derive(Debug, Default)]
pub(super) struct KnownLayout(Mutex<Option<PartitionLayout>>);

impl KnownLayout {
    /// Sets the layout at the first use of the store, and checks the stored layout later.
    pub(super) async fn fix(
        &self,
        client: &Client,
        wanted: u32,
    ) -> Result<PartitionLayout, StoreError> {
        let known = self.known();
        let key = match known {
            Some(known) => known.hash_key,
            None => Some(random_key()?),
        };
        let command = Command::Single(script(client, wanted, key));
        let reply = client.send(store_slot(), command, 0, true).await?;
        let (found, version) = parse_reply(reply)?;
        check_version(version)?;
        if known.is_some_and(|known| known != found) {
            return Err(replaced());
        }
        check_partitions(Some(found.count), wanted)?;
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(found);
        Ok(found)
    }

    /// Restores the known layout in a store that has none; `None` if this handle knows none.
    ///
    /// # Errors
    /// [`StoreError::Config`] if the store has another layout.
    pub(super) fn restore(
        &self,
        client: &Client,
    ) -> Option<impl Future<Output = Result<(), StoreError>> + Send + use<>> {
        let known = self.known()?;
        let reply = client.send_lease(store_slot(), script(client, known.count, known.hash_key));
        Some(async move {
            let (found, _) = parse_reply(reply.await?)?;
            if found == known { Ok(()) } else { Err(replaced()) }
        })
    }

    /// The number of partitions; 0 if unknown.
    pub(super) fn partitions(&self) -> u32 {
        self.known().map_or(0, |known| known.count)
    }

    fn known(&self) -> Option<PartitionLayout> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn script(client: &Client, count: u32, key: Option<HashKey>) -> Cmd {
    let prefix = client.prefix();
    let [format, copy] = format_keys(prefix);
    let mut command = Script::Partitions.call(&[&partitions_key(prefix), &format, &copy]);
    command.arg(count).arg(key.map(to_hex).unwrap_or_default());
    command
}

/// The layout in force and the stored version.
fn parse_reply(reply: Value) -> Result<(PartitionLayout, u32), StoreError> {
    let mut parts = reply::parse(reply, None)?;
    let mut next = || reply::text(parts.next());
    let (count, key, version) = (next()?, next()?, next()?);
    let version = match &*version {
        "" => Ok(0),
        version => version.parse().map_err(|_| {
            StoreError::Corrupt(format!("the stored version in Redis, `{version}`, is no number"))
        }),
    };
    Ok((parse(&count, &key)?, version?))
}

/// The store was emptied, and another core has set a layout since.
fn replaced() -> StoreError {
    let text = "the store was emptied or replaced, and another core has set up another partition layout since. \
                This core may have the only copy of its streams: do not stop it before you have read \
                docs/redis.md, `An emptied store`";
    StoreError::Config(text.to_owned())
}

/// The stored number of partitions, without a check of the hash key.
pub(super) async fn partition_count(client: &Client) -> Result<Option<u32>, StoreError> {
    let prefix = client.prefix();
    let first = cmd("GET").arg(partitions_key(prefix)).take();
    let others = ["partitions#2", "partitions#3"];
    let others = cmd("HMGET").arg(&format_keys(prefix)[0]).arg(&others).take();
    let first = client.send(store_slot(), Command::Single(first), 0, false).await?;
    let others = client.send(store_slot(), Command::Single(others), 0, false).await?;
    let others = Vec::<Option<String>>::from_redis_value(others).unwrap_or_default();
    let mut copies = [None, others.first().cloned().flatten(), others.get(1).cloned().flatten()];
    if first != Value::Nil {
        copies[0] = Some(reply::text(Some(first))?);
    }
    let copies = copies.each_ref().map(|copy| copy.as_deref());
    let repair = "set all copies, see docs/redis.md, `Damaged settings`";
    let Some(text) = majority(copies, "partitions", repair)? else { return Ok(None) };
    let count = text.strip_suffix(" keyed").unwrap_or(text);
    let wrong = || StoreError::Corrupt(format!("`{text}` is not a number of partitions"));
    count.parse().map(Some).map_err(|_| wrong())
}

/// Parses the stored number, `64` or `64 keyed`, with the stored key.
fn parse(count: &str, key: &str) -> Result<PartitionLayout, StoreError> {
    let wrong = |problem: &str| StoreError::Corrupt(format!("the layout in Redis: {problem}"));
    let (number, is_keyed) = match count.strip_suffix(" keyed") {
        Some(number) => (number, true),
        None => (count, false),
    };
    let count =
        number.parse().map_err(|_| wrong(&format!("`{count}` is not a number of partitions")))?;
    let missing = || wrong("the hash key is missing or unreadable");
    let hash_key = if is_keyed { Some(from_hex(key).ok_or_else(missing)?) } else { None };
    Ok(PartitionLayout { count, hash_key })
}

fn to_hex(key: HashKey) -> String {
    format!("{:032x}", u128::from_be_bytes(key))
}

fn from_hex(text: &str) -> Option<HashKey> {
    let is_hex = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let number = is_hex.then(|| u128::from_str_radix(text, 16))?;
    number.ok().map(u128::to_be_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stored_layout_is_parsed() {
        let key: HashKey = std::array::from_fn(|at| at as u8);
        let hex = to_hex(key);
        assert_eq!(hex, "000102030405060708090a0b0c0d0e0f");
        assert_eq!(parse("64", &hex), Ok(PartitionLayout { count: 64, hash_key: None }));
        let keyed = PartitionLayout { count: 64, hash_key: Some(key) };
        assert_eq!(parse("64 keyed", &hex), Ok(keyed));
        let signed = format!("+{}", &hex[1..]);
        for (count, key) in
            [("64 keyed", ""), ("64 keyed", &hex[1..]), ("64 keyed", &signed), ("x", &hex)]
        {
            assert!(matches!(parse(count, key), Err(StoreError::Corrupt(_))), "{count} {key}");
        }
    }
}

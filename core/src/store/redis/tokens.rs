//! The API tokens in Redis: one hash, read as a whole after a change of its field `version`.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, ready};
use redis::{FromRedisValue, Value, cmd};

use super::super::{
    MAX_TOKENS, StoreError, StoredTokens, check_token, random_version, too_many_tokens,
};
use super::client::Client;
use super::keys::{store_slot, tokens_key};
use super::pipeline::Command;
use super::reply;
use super::scripts::Script;

/// Start of the field of a token.
const FIELD: &str = "t:";
/// The field of the version.
const VERSION: &str = "version";

/// Reads the tokens if their version is not `known`.
pub(super) fn read(
    client: &Arc<Client>,
    known: u64,
) -> impl Future<Output = Result<Option<StoredTokens>, StoreError>> + Send + use<> {
    let key = tokens_key(client.prefix());
    let version = cmd("HGET").arg(&key).arg(VERSION).take();
    let version = client.send_lease(store_slot(), version);
    let client = Arc::clone(client);
    async move {
        let found = version.await?;
        let version = if found == Value::Nil { 0 } else { reply::number(Some(found))? };
        if version == known {
            return Ok(None);
        }
        let all = Command::Single(cmd("HGETALL").arg(&key).take());
        parse(client.send(store_slot(), all, 0, false).await?).map(Some)
    }
}

/// Adds, replaces or removes a token; returns whether the token existed.
pub(super) fn write(
    client: &Client,
    id: &str,
    record: Option<&Bytes>,
) -> BoxFuture<'static, Result<bool, StoreError>> {
    let version = match check_token(id, record).and_then(|()| random_version()) {
        Ok(version) => version,
        Err(error) => return ready(Err(error)).boxed(),
    };
    let mut command = Script::Token.call(&[&tokens_key(client.prefix())]);
    command.arg(id).arg(record.map_or(&[][..], |record| record));
    command.arg(version).arg(MAX_TOKENS);
    let reply = client.send(store_slot(), Command::Single(command), 0, true);
    async move {
        let reply = reply.await?;
        if let Value::Array(parts) = &reply
            && reply::text(parts.first().cloned()).is_ok_and(|status| status == "too many")
        {
            return Err(too_many_tokens());
        }
        Ok(reply::number(reply::parse(reply, None)?.next())? != 0)
    }
    .boxed()
}

fn parse(reply: Value) -> Result<StoredTokens, StoreError> {
    let damaged = || StoreError::Corrupt("the tokens in Redis have an unexpected form".to_owned());
    let mut fields = BTreeMap::<String, Vec<u8>>::from_redis_value(reply).map_err(|_| damaged())?;
    let version = fields.remove(VERSION).and_then(|version| String::from_utf8(version).ok());
    let version = match version {
        Some(version) => version.parse().map_err(|_| damaged())?,
        None => 0,
    };
    let id = |(field, record): (String, Vec<u8>)| {
        Some((field.strip_prefix(FIELD)?.to_owned(), record.into()))
    };
    Ok(StoredTokens { version, records: fields.into_iter().filter_map(id).collect() })
}

//! Replies of the scripts, parsed into results of the store contract. Pure.

use std::time::Duration;

use minerva_proto::LogIndex;
use redis::{FromRedisValue, Value};

use super::super::copies::majority;
use super::super::{Member, Membership, StoreError};

/// Parses the reply of a script, and returns the values after `ok`. `index` is the index of an append.
pub(super) fn parse(
    reply: Value,
    index: Option<LogIndex>,
) -> Result<std::vec::IntoIter<Value>, StoreError> {
    let Value::Array(parts) = reply else { return Err(unknown()) };
    let mut parts = parts.into_iter();
    let status = text(parts.next())?;
    match &*status {
        "ok" => Ok(parts),
        "fenced" => Err(StoreError::Fenced),
        "behind" => Err(StoreError::Behind { next: LogIndex(number(parts.next())?) }),
        "conflict" => Err(StoreError::Conflict { index: index.unwrap_or_default() }),
        "held" => {
            let owner = text(parts.next())?;
            Err(StoreError::Held { owner, left: Duration::from_millis(number(parts.next())?) })
        }
        "corrupt" => Err(StoreError::Corrupt(text(parts.next())?)),
        "damaged" => Err(damaged_setting(parts)),
        "overtaken" => Err(StoreError::Unavailable("a later claim took effect first".to_owned())),
        _ => Err(unknown()),
    }
}

/// A setting of the store without a majority of its copies.
fn damaged_setting(mut parts: std::vec::IntoIter<Value>) -> StoreError {
    let Ok(name) = text(parts.next()) else { return unknown() };
    let copies: [String; 3] = std::array::from_fn(|_| text(parts.next()).unwrap_or_default());
    let copies = copies.each_ref().map(|copy| Some(&**copy).filter(|copy| !copy.is_empty()));
    let repair = "set all copies to the right value, see docs/redis.md, `Damaged settings`";
    majority(copies, &name, repair).err().unwrap_or_else(unknown)
}

/// The call number in the store if a claim was overtaken by a later one of the same session.
pub(super) fn overtaken_by(reply: &Value) -> Option<u64> {
    let Value::Array(parts) = reply else { return None };
    let mut parts = parts.iter().cloned();
    let is_overtaken = text(parts.next()).is_ok_and(|status| status == "overtaken");
    number(parts.next()).ok().filter(|_| is_overtaken)
}

/// Parses the reply of `heartbeat.lua`: number of the previous heartbeat, stored version, then name, standby flag and
/// version of each member.
pub(super) fn membership(mut parts: std::vec::IntoIter<Value>) -> Result<Membership, StoreError> {
    let (last_heartbeat, stored_version) = (number(parts.next())?, version(parts.next())?);
    let mut members = Vec::new();
    while let Some(name) = parts.next() {
        let (name, is_standby) = (text(Some(name))?, number(parts.next())? != 0);
        members.push(Member { name, is_standby, stored_version: version(parts.next())? });
    }
    members.sort_unstable();
    Ok(Membership { members, last_heartbeat, stored_version })
}

/// Parses a number in a reply.
pub(super) fn number(value: Option<Value>) -> Result<u64, StoreError> {
    // The conversion of the client crate would wrap a negative integer.
    if let Some(Value::Int(number)) = value {
        return u64::try_from(number).map_err(|_| unknown());
    }
    u64::from_redis_value(value.unwrap_or_default()).map_err(|_| unknown())
}

/// Parses a stored version; a greater number than any version counts as the greatest one.
pub(super) fn version(value: Option<Value>) -> Result<u32, StoreError> {
    number(value).map(|version| u32::try_from(version).unwrap_or(u32::MAX))
}

/// Parses a text in a reply.
pub(super) fn text(value: Option<Value>) -> Result<String, StoreError> {
    String::from_redis_value(value.unwrap_or_default()).map_err(|_| unknown())
}

fn unknown() -> StoreError {
    StoreError::Corrupt("Redis returned a reply of unexpected form".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(parts: &[Value]) -> Result<Vec<Value>, StoreError> {
        parse(Value::Array(parts.to_vec()), Some(LogIndex(7))).map(Iterator::collect)
    }

    fn bulk(text: &str) -> Value {
        Value::BulkString(text.as_bytes().to_vec())
    }

    #[test]
    fn replies_become_results() {
        let held = StoreError::Held { owner: "x".to_owned(), left: Duration::from_millis(20) };
        for (parts, result) in [
            (vec![bulk("ok"), Value::Int(1)], Ok(vec![Value::Int(1)])),
            (vec![bulk("fenced")], Err(StoreError::Fenced)),
            (vec![bulk("behind"), Value::Int(3)], Err(StoreError::Behind { next: LogIndex(3) })),
            (vec![bulk("conflict")], Err(StoreError::Conflict { index: LogIndex(7) })),
            (vec![bulk("held"), bulk("x"), Value::Int(20)], Err(held)),
            (vec![bulk("corrupt"), bulk("x")], Err(StoreError::Corrupt("x".to_owned()))),
        ] {
            assert_eq!(parsed(&parts), result);
        }
    }

    #[test]
    fn malformed_replies_are_corrupt() {
        let wrong = [
            vec![],
            vec![bulk("other")],
            vec![bulk("behind")],
            vec![bulk("held"), bulk("x")],
            vec![bulk("behind"), Value::Int(-1)],
        ];
        for parts in wrong {
            assert!(matches!(parsed(&parts), Err(StoreError::Corrupt(_))), "{parts:?}");
        }
        assert!(matches!(parse(Value::Okay, None), Err(StoreError::Corrupt(_))));
    }
}

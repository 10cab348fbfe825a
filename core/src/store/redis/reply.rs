//! What the scripts answer, in the words of the store's contract.

use std::time::Duration;

use redis::{FromRedisValue, Value};

use super::super::{Living, Member, StoreError};

/// Reads a script's answer; what stands behind `ok` is returned. `index` is that of the append that was
/// called, if it was one.
pub(super) fn read(
    answer: Value,
    index: Option<u64>,
) -> Result<std::vec::IntoIter<Value>, StoreError> {
    let Value::Array(parts) = answer else { return Err(unknown()) };
    let mut parts = parts.into_iter();
    let word = text(parts.next())?;
    match &*word {
        "ok" => Ok(parts),
        "fenced" => Err(StoreError::Fenced),
        "behind" => Err(StoreError::Behind { next: number(parts.next())? }),
        "conflict" => Err(StoreError::Conflict { index: index.unwrap_or_default() }),
        "held" => {
            let owner = text(parts.next())?;
            Err(StoreError::Held { owner, left: Duration::from_millis(number(parts.next())?) })
        }
        "overtaken" => Err(StoreError::Unavailable("a later claim came first".to_owned())),
        _ => Err(unknown()),
    }
}

/// The living cores, as `beat.lua` answers them: the number of the last beat, then name and whether it is a
/// standby.
pub(super) fn living(mut parts: std::vec::IntoIter<Value>) -> Result<Living, StoreError> {
    let (last, mut members) = (number(parts.next())?, Vec::new());
    while let (Some(name), Some(standby)) = (parts.next(), parts.next()) {
        let name = text(Some(name))?;
        members.push(Member { name, is_standby: number(Some(standby))? != 0 });
    }
    members.sort_unstable();
    Ok(Living { members, last })
}

/// A number in an answer.
pub(super) fn number(value: Option<Value>) -> Result<u64, StoreError> {
    // Redis' client would turn a negative integer into a huge one.
    if let Some(Value::Int(number)) = value {
        return u64::try_from(number).map_err(|_| unknown());
    }
    u64::from_redis_value(value.unwrap_or_default()).map_err(|_| unknown())
}

/// A text in an answer.
pub(super) fn text(value: Option<Value>) -> Result<String, StoreError> {
    String::from_redis_value(value.unwrap_or_default()).map_err(|_| unknown())
}

fn unknown() -> StoreError {
    StoreError::Corrupt("Redis gives an answer that is none of ours".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(parts: &[Value]) -> Result<Vec<Value>, StoreError> {
        read(Value::Array(parts.to_vec()), Some(7)).map(Iterator::collect)
    }

    fn word(text: &str) -> Value {
        Value::BulkString(text.as_bytes().to_vec())
    }

    #[test]
    fn answers_become_results() {
        let held = StoreError::Held { owner: "x".to_owned(), left: Duration::from_millis(20) };
        for (parts, result) in [
            (vec![word("ok"), Value::Int(1)], Ok(vec![Value::Int(1)])),
            (vec![word("fenced")], Err(StoreError::Fenced)),
            (vec![word("behind"), Value::Int(3)], Err(StoreError::Behind { next: 3 })),
            (vec![word("conflict")], Err(StoreError::Conflict { index: 7 })),
            (vec![word("held"), word("x"), Value::Int(20)], Err(held)),
        ] {
            assert_eq!(answer(&parts), result);
        }
    }

    #[test]
    fn other_answers_are_corrupt() {
        let wrong = [
            vec![],
            vec![word("what")],
            vec![word("behind")],
            vec![word("held"), word("x")],
            vec![word("behind"), Value::Int(-1)],
        ];
        for parts in wrong {
            assert!(matches!(answer(&parts), Err(StoreError::Corrupt(_))), "{parts:?}");
        }
        assert!(matches!(read(Value::Okay, None), Err(StoreError::Corrupt(_))));
    }
}

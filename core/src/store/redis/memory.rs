//! The memory of a Redis server, parsed from `INFO memory`. Pure.

use redis::{FromRedisValue, Value};

use super::super::StoreFill;

/// Parses the reply to `INFO memory`. `None` without `maxmemory`, or for an unexpected reply.
///
/// Like Redis, does not count the buffers of replicas and of the append-only file.
pub(super) fn fill(reply: Value) -> Option<StoreFill> {
    let text = String::from_redis_value(reply).ok()?;
    let field = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.and_then(|value| value.trim().parse::<u64>().ok())
    };
    let limit = field("maxmemory").filter(|limit| *limit > 0)?;
    let used =
        field("used_memory")?.saturating_sub(field("mem_not_counted_for_evict").unwrap_or(0));
    Some(StoreFill { used, limit })
}

/// The fuller one of two servers.
pub(super) fn fuller(one: Option<StoreFill>, other: Option<StoreFill>) -> Option<StoreFill> {
    let share =
        |fill: &StoreFill| u128::from(fill.used) * u128::from(u64::MAX) / u128::from(fill.limit);
    one.into_iter().chain(other).max_by_key(share)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(text: &str) -> Value {
        Value::BulkString(text.as_bytes().to_vec())
    }

    #[test]
    fn used_memory_and_limit_are_parsed() {
        let text = "# Memory\r\nused_memory:1000\r\nused_memory_human:1K\r\nmaxmemory:4000\r\n\
            maxmemory_human:4K\r\nmem_not_counted_for_evict:100\r\n";
        assert_eq!(fill(reply(text)), Some(StoreFill { used: 900, limit: 4000 }));
        assert_eq!(fill(reply(&text.replace("maxmemory:4000", "maxmemory:0"))), None);
        assert_eq!(fill(reply("used_memory:7")), None);
        assert_eq!(fill(Value::Nil), None);
    }

    #[test]
    fn the_fuller_server_counts() {
        let (large, small) =
            (StoreFill { used: 500, limit: 1000 }, StoreFill { used: 9, limit: 10 });
        assert_eq!(fuller(Some(large), Some(small)), Some(small));
        assert_eq!(fuller(Some(small), Some(large)), Some(small));
        assert_eq!(fuller(None, Some(large)), Some(large));
        assert_eq!(fuller(None, None), None);
    }
}

//! The replication state of a server, parsed from `INFO replication`. Pure.

use redis::{FromRedisValue, Value};

use super::url::Node;

/// Role and replicas of a server at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Replication {
    pub(super) is_primary: bool,
    /// A planned failover by the command `FAILOVER` has begun.
    pub(super) is_failing_over: bool,
    /// Identity of the data set. Each promotion creates a new identity.
    pub(super) id: String,
    /// Bytes written to the replication stream.
    pub(super) offset: u64,
    /// Online replicas, with the offset that each has acknowledged.
    pub(super) replicas: Vec<(Node, u64)>,
}

impl Replication {
    /// Parses an INFO text that contains the section; missing fields stay empty.
    pub(super) fn parse(info: &str) -> Self {
        let mut found = Self::default();
        for (name, value) in info.lines().filter_map(|line| line.split_once(':')) {
            let value = value.trim_end();
            match name {
                "role" => found.is_primary = value == "master",
                "master_failover_state" => found.is_failing_over = value != "no-failover",
                "master_replid" => value.clone_into(&mut found.id),
                "master_repl_offset" => found.offset = value.parse().unwrap_or(0),
                _ if is_replica(name) => found.replicas.extend(parse_replica(value)),
                _ => {}
            }
        }
        found
    }

    /// Parses the reply to `INFO replication`.
    pub(super) fn from_reply(reply: &Value) -> Option<Self> {
        let info = String::from_redis_value_ref(reply).ok()?;
        Some(Self::parse(&info))
    }

    /// The acknowledged offset of a replica; `None` if the replica is not online.
    pub(super) fn offset_of(&self, replica: &Node) -> Option<u64> {
        self.replicas.iter().find(|(node, _)| node == replica).map(|(_, offset)| *offset)
    }
}

/// Returns true for `slave0`, `slave1` and so on.
fn is_replica(field: &str) -> bool {
    let number = field.strip_prefix("slave").unwrap_or_default();
    !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
}

/// Parses `ip=HOST,port=PORT,state=online,offset=BYTES,lag=SECONDS`; `None` for a replica that is not online.
fn parse_replica(text: &str) -> Option<(Node, u64)> {
    let field = |name: &str| {
        let mut fields = text.split(',').filter_map(|field| field.split_once('='));
        fields.find(|(found, _)| *found == name).map(|(_, value)| value)
    };
    if field("state") != Some("online") {
        return None;
    }
    let node = Node { host: field("ip")?.to_owned(), port: field("port")?.parse().ok()? };
    Some((node, field("offset")?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const INFO: &str = "# Replication\r\nrole:master\r\nconnected_slaves:2\r\n\
        slave0:ip=10.0.0.1,port=7992,state=online,offset=20,lag=0\r\n\
        slave1:ip=fe80::1,port=7993,state=wait_bgsave,offset=0,lag=0\r\n\
        slave10:ip=b.example,port=7994,state=online,offset=18,lag=1\r\n\
        slave_read_only:1\r\nmaster_failover_state:no-failover\r\n\
        master_replid:dc41\r\nmaster_replid2:0000\r\nmaster_repl_offset:21\r\n";

    fn node(host: &str, port: u16) -> Node {
        Node { host: host.to_owned(), port }
    }

    #[test]
    fn online_replicas_and_their_offsets_are_parsed() {
        let (first, second) = (node("10.0.0.1", 7992), node("b.example", 7994));
        let expected = Replication {
            is_primary: true,
            is_failing_over: false,
            id: "dc41".to_owned(),
            offset: 21,
            replicas: vec![(first, 20), (second.clone(), 18)],
        };
        let parsed = Replication::from_reply(&Value::BulkString(INFO.into())).unwrap();
        assert_eq!(parsed, expected);
        assert_eq!(parsed.offset_of(&second), Some(18));
        assert_eq!(parsed.offset_of(&node("b.example", 7992)), None);
    }

    #[test]
    fn roles_and_failovers_are_parsed() {
        let replica = Replication::parse(&INFO.replace("role:master", "role:slave"));
        assert!(!replica.is_primary);
        for state in ["waiting-for-sync", "failover-in-progress"] {
            assert!(Replication::parse(&INFO.replace("no-failover", state)).is_failing_over);
        }
        assert_eq!(Replication::parse(""), Replication::default());
        assert_eq!(Replication::from_reply(&Value::Array(vec![])), None);
    }
}

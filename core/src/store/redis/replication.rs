//! The replication state of a server, parsed from `INFO replication`. Pure.

use std::fmt;

use redis::{FromRedisValue, Value};

use super::url::Node;

/// Identity of a replica: its address, and a rank among the replicas that announce the same address.
///
/// Replicas behind one address translation look alike, and the server reports no other name of them. The rank follows
/// the acknowledged offsets, the greatest first: a rank that fails stands for the replica that is furthest behind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Replica {
    pub(super) node: Node,
    pub(super) rank: usize,
}

/// Role and replicas of a server at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Replication {
    pub(super) is_primary: bool,
    /// A planned failover by the command `FAILOVER` has begun.
    pub(super) is_failing_over: bool,
    /// Identity of the data set. Each promotion creates a new identity.
    pub(super) id: String,
    /// The identity before the promotion; zeros without one.
    pub(super) previous_id: String,
    /// Bytes written to the replication stream.
    pub(super) offset: u64,
    /// Online replicas, with the offset that each has acknowledged.
    pub(super) replicas: Vec<(Replica, u64)>,
    /// Greatest age of the last report of an online replica, in seconds. Replicas report once per second.
    pub(super) max_lag_s: u64,
}

impl Replication {
    /// Parses an INFO text that contains the section; missing fields stay empty.
    pub(super) fn parse(info: &str) -> Self {
        let (mut found, mut replicas) = (Self::default(), Vec::<OnlineReplica>::new());
        for (name, value) in info.lines().filter_map(|line| line.split_once(':')) {
            let value = value.trim_end();
            match name {
                "role" => found.is_primary = value == "master",
                "master_failover_state" => found.is_failing_over = value != "no-failover",
                "master_replid" => value.clone_into(&mut found.id),
                "master_replid2" => value.clone_into(&mut found.previous_id),
                "master_repl_offset" => found.offset = value.parse().unwrap_or(0),
                _ if is_replica(name) => replicas.extend(parse_replica(value)),
                _ => {}
            }
        }
        found.max_lag_s = replicas.iter().map(|replica| replica.lag_s).max().unwrap_or(0);
        let acknowledged: Vec<_> = replicas.into_iter().map(|one| (one.node, one.offset)).collect();
        found.replicas = ranked(&acknowledged);
        found
    }

    /// Parses the reply to `INFO replication`.
    pub(super) fn from_reply(reply: &Value) -> Option<Self> {
        let info = String::from_redis_value_ref(reply).ok()?;
        Some(Self::parse(&info))
    }

    /// The acknowledged offset of a replica; `None` if the replica is not online.
    pub(super) fn offset_of(&self, replica: &Replica) -> Option<u64> {
        self.replicas.iter().find(|(found, _)| found == replica).map(|(_, offset)| *offset)
    }
}

/// Numbers the replicas of each address by their offsets.
fn ranked(replicas: &[(Node, u64)]) -> Vec<(Replica, u64)> {
    let rank = |at: usize, (node, offset): &(Node, u64)| {
        let is_ahead = |(other, (other_node, other_offset)): &(usize, &(Node, u64))| {
            other_node == node && (*other_offset, at) > (*offset, *other)
        };
        replicas.iter().enumerate().filter(is_ahead).count()
    };
    let ranked = replicas.iter().enumerate().map(|(at, replica)| {
        (Replica { node: replica.0.clone(), rank: rank(at, replica) }, replica.1)
    });
    ranked.collect()
}

impl From<Node> for Replica {
    fn from(node: Node) -> Self {
        Self { node, rank: 0 }
    }
}

impl fmt::Display for Replica {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { node, rank } = self;
        if *rank > 0 { write!(f, "{node} (number {})", rank + 1) } else { node.fmt(f) }
    }
}

/// Returns true for `slave0`, `slave1` and so on.
fn is_replica(field: &str) -> bool {
    let number = field.strip_prefix("slave").unwrap_or_default();
    !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
}

/// One line of a replica that is online.
struct OnlineReplica {
    node: Node,
    offset: u64,
    lag_s: u64,
}

/// Parses `ip=HOST,port=PORT,state=online,offset=BYTES,lag=SECONDS`; `None` for a replica that is not online.
fn parse_replica(text: &str) -> Option<OnlineReplica> {
    let field = |name: &str| {
        let mut fields = text.split(',').filter_map(|field| field.split_once('='));
        fields.find(|(found, _)| *found == name).map(|(_, value)| value)
    };
    if field("state") != Some("online") {
        return None;
    }
    let node = Node { host: field("ip")?.to_owned(), port: field("port")?.parse().ok()? };
    // A clock that was set back gives negative numbers.
    let lag_s = field("lag").and_then(|lag| lag.parse().ok()).unwrap_or(0);
    Some(OnlineReplica { node, offset: field("offset")?.parse().ok()?, lag_s })
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

    fn replica(host: &str, port: u16) -> Replica {
        Node { host: host.to_owned(), port }.into()
    }

    #[test]
    fn online_replicas_and_their_offsets_are_parsed() {
        let (first, second) = (replica("10.0.0.1", 7992), replica("b.example", 7994));
        let expected = Replication {
            is_primary: true,
            is_failing_over: false,
            id: "dc41".to_owned(),
            previous_id: "0000".to_owned(),
            offset: 21,
            replicas: vec![(first, 20), (second.clone(), 18)],
            max_lag_s: 1,
        };
        let parsed = Replication::from_reply(&Value::BulkString(INFO.into())).unwrap();
        assert_eq!(parsed, expected);
        assert_eq!(parsed.offset_of(&second), Some(18));
        assert_eq!(parsed.offset_of(&replica("b.example", 7992)), None);
    }

    #[test]
    fn replicas_of_one_address_are_ranked_by_their_offsets() {
        let same = "ip=10.0.0.1,port=6379";
        let info: String = [7, 9, 9, 8].iter().fold(String::new(), |info, offset| {
            format!("{info}slave{offset}:{same},state=online,offset={offset},lag=0\r\n")
        });
        let found = Replication::parse(&info).replicas;
        let ranks: Vec<_> = found.iter().map(|(replica, _)| replica.rank).collect();
        assert_eq!(ranks, [3, 0, 1, 2]);
        assert_eq!(found[0].0.to_string(), "10.0.0.1:6379 (number 4)");
        assert_eq!(found[1].0.to_string(), "10.0.0.1:6379");
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

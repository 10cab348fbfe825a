//! Key names and their slots in Redis Cluster.
//!
//! All keys of a partition carry its number as their hash tag. They share one slot, so one script may access them.
//!
//! ```text
//!   PREFIX{p12}:head      hash: epoch, claim, claims, first, owner, until, lease, session, call, checkpoints, meta, sizes
//!   PREFIX{p12}:log       list: the blobs from index `first` on
//!   PREFIX{p12}:streams   hash: stream number to blob
//!   PREFIX{p12}:quarantine         hash: name to damaged blob
//!   PREFIX{p12}:quarantine-names   list: the names, the oldest first
//!   PREFIX{p12}:aside:head, :aside:log, :aside:streams   the data that the last reset has moved aside
//!   PREFIX{store}:partitions   number of partitions; followed by ` keyed` if `format` has a hash key
//!   PREFIX{store}:members      hash: core name to `UNTIL STANDBY HEARTBEAT`
//!   PREFIX{store}:cores        hash: core name to `STORED_VERSION LEASE_MS STEADY_SINCE`; cores of release 0.1 have none
//!   PREFIX{store}:format       hash: version (stored version), hash_key (32 hexadecimal digits), each also as NAME#2
//!                              and NAME#3; further copies of `partitions` as partitions#2 and partitions#3
//!   PREFIX{store}:tokens       hash: `version`, and `t:` with a token id to the record of the token
//!   PREFIX{store}:format#2     hash: version and hash_key as in `format`
//! ```

/// Number of slots in a Redis Cluster.
pub(super) const SLOTS: u16 = 16_384;

/// Names of the Redis keys of one partition, with a common hash tag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PartitionKeys {
    pub(super) head: String,
    pub(super) log: String,
    pub(super) streams: String,
}

impl PartitionKeys {
    pub(super) fn new(prefix: &str, partition: u32) -> Self {
        let key = |part| format!("{prefix}{{p{partition}}}:{part}");
        Self { head: key("head"), log: key("log"), streams: key("streams") }
    }

    /// Keys of the data that a reset has moved aside.
    pub(super) fn aside(prefix: &str, partition: u32) -> Self {
        let key = |part| format!("{prefix}{{p{partition}}}:aside:{part}");
        Self { head: key("head"), log: key("log"), streams: key("streams") }
    }
}

/// Keys of the damaged blobs of a partition, and of their names in order.
pub(super) fn quarantine_keys(prefix: &str, partition: u32) -> [String; 2] {
    ["quarantine", "quarantine-names"].map(|part| format!("{prefix}{{p{partition}}}:{part}"))
}

/// Key of the number of partitions.
pub(super) fn partitions_key(prefix: &str) -> String {
    format!("{prefix}{{store}}:partitions")
}

/// Key of the membership.
pub(super) fn members_key(prefix: &str) -> String {
    format!("{prefix}{{store}}:members")
}

/// Key of the stored version and lease of each core.
pub(super) fn cores_key(prefix: &str) -> String {
    format!("{prefix}{{store}}:cores")
}

/// Keys of the stored version and of the hash key: two copies.
pub(super) fn format_keys(prefix: &str) -> [String; 2] {
    ["format", "format#2"].map(|part| format!("{prefix}{{store}}:{part}"))
}

/// Key of the API tokens.
pub(super) fn tokens_key(prefix: &str) -> String {
    format!("{prefix}{{store}}:tokens")
}

/// Slot of the keys of a partition.
pub(super) fn partition_slot(partition: u32) -> u16 {
    tag_slot(&format!("p{partition}"))
}

/// Slot of the keys that concern the whole store.
pub(super) fn store_slot() -> u16 {
    tag_slot("store")
}

/// Slot of a hash tag: CRC-16/XMODEM of the tag modulo [`SLOTS`].
fn tag_slot(tag: &str) -> u16 {
    let mut crc: u16 = 0;
    for byte in tag.bytes() {
        crc ^= u16::from(byte) << 8;
        for _ in 0..8 {
            let carry = crc & 0x8000 != 0;
            crc <<= 1;
            if carry {
                crc ^= 0x1021;
            }
        }
    }
    crc % SLOTS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_a_partition_share_a_hash_tag() {
        let keys = PartitionKeys::new("minerva:", 12);
        assert_eq!(keys.head, "minerva:{p12}:head");
        assert_eq!((&*keys.log, &*keys.streams), ("minerva:{p12}:log", "minerva:{p12}:streams"));
        assert_eq!(partitions_key(""), "{store}:partitions");
    }

    #[test]
    fn slots_match_those_of_redis() {
        // The example of the cluster specification, and the reply of CLUSTER KEYSLOT.
        assert_eq!(tag_slot("123456789"), 0x31C3);
        assert_eq!(tag_slot("foo"), 12_182);
        assert_eq!(partition_slot(0), tag_slot("p0"));
    }
}

//! Placement: rendezvous hashing assigns each partition to a core. Pure.
//!
//! When a core joins or leaves, only the partitions assigned to that core move.

use crate::store::Member;

/// The core that should own a partition; `None` without members. Standby cores count only if no other core is live.
pub(super) fn assigned_core(partition: u32, members: &[Member]) -> Option<&Member> {
    let active = || members.iter().filter(|member| !member.is_standby);
    let best = active().max_by_key(|member| weight(&member.name, partition));
    best.or_else(|| members.iter().max_by_key(|member| weight(&member.name, partition)))
}

/// FNV-1a over name and partition with a finalizer, because core names of one host differ in few bytes.
fn weight(name: &str, partition: u32) -> u64 {
    const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0000_0100_0000_01b3;
    let bytes = name.bytes().chain(partition.to_le_bytes());
    let mut hash = bytes.fold(OFFSET, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(PRIME));
    for factor in [0xff51_afd7_ed55_8ccd, 0xc4ce_b9fe_1a85_ec53] {
        hash = (hash ^ (hash >> 33)).wrapping_mul(factor);
    }
    hash ^ (hash >> 33)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A trailing `*` marks a standby core.
    fn members(names: &[&str]) -> Vec<Member> {
        let member = |name: &&str| Member {
            name: name.trim_end_matches('*').to_owned(),
            is_standby: name.ends_with('*'),
            stored_version: 1,
        };
        names.iter().map(member).collect()
    }

    fn placement(names: &[&str]) -> Vec<String> {
        let members = members(names);
        (0..64).filter_map(|p| assigned_core(p, &members)).map(|core| core.name.clone()).collect()
    }

    #[test]
    fn partitions_are_spread_evenly() {
        for names in [&["core-1", "core-2"][..], &["a", "b", "c"], &["x1", "x2", "x3", "x4"]] {
            for name in names {
                let assigned = placement(names).iter().filter(|core| core == name).count();
                let fair = 64 / names.len();
                assert!((fair / 2..=fair * 2).contains(&assigned), "{name} {names:?}: {assigned}");
            }
        }
    }

    #[test]
    fn a_leaving_core_moves_only_its_own_partitions() {
        let (before, after) = (placement(&["a", "b", "c"]), placement(&["a", "c"]));
        for (before, after) in before.iter().zip(&after) {
            assert!(before == after || before == "b", "{before} to {after}");
        }
    }

    #[test]
    fn a_standby_core_owns_partitions_only_without_active_cores() {
        assert!(placement(&["a", "b*"]).iter().all(|core| core == "a"));
        assert!(placement(&["b*"]).iter().all(|core| core == "b"));
        assert_eq!(placement(&["b*", "c*"]).len(), 64);
        assert!(placement(&[]).is_empty());
    }
}

//! Which core should own a partition: rendezvous hashing, so that a core that comes or goes moves only its own
//! share. Pure.

use crate::store::Member;

/// The core that should own a partition; `None` if there is no core. Cores on standby count only if there
/// are no others.
pub(super) fn owner_of(partition: u32, members: &[Member]) -> Option<&Member> {
    let active = || members.iter().filter(|member| !member.is_standby);
    let best = active().max_by_key(|member| weight(&member.name, partition));
    best.or_else(|| members.iter().max_by_key(|member| weight(&member.name, partition)))
}

/// FNV-1a over name and partition, mixed well: cores of one host have similar names.
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

    fn members(names: &[&str]) -> Vec<Member> {
        let member = |name: &&str| Member {
            name: name.trim_end_matches('*').to_owned(),
            is_standby: name.ends_with('*'),
        };
        names.iter().map(member).collect()
    }

    fn owners(names: &[&str]) -> Vec<String> {
        let members = members(names);
        (0..64).filter_map(|p| owner_of(p, &members)).map(|member| member.name.clone()).collect()
    }

    #[test]
    fn shares_are_alike() {
        for names in [&["core-1", "core-2"][..], &["a", "b", "c"], &["x1", "x2", "x3", "x4"]] {
            for name in names {
                let share = owners(names).iter().filter(|owner| owner == name).count();
                let fair = 64 / names.len();
                assert!((fair / 2..=fair * 2).contains(&share), "{name} of {names:?}: {share}");
            }
        }
    }

    #[test]
    fn only_the_share_of_the_core_that_goes_moves() {
        let (before, after) = (owners(&["a", "b", "c"]), owners(&["a", "c"]));
        for (before, after) in before.iter().zip(&after) {
            assert!(before == after || before == "b", "{before} to {after}");
        }
    }

    #[test]
    fn a_standby_owns_nothing_beside_another_and_everything_alone() {
        assert!(owners(&["a", "b*"]).iter().all(|owner| owner == "a"));
        assert!(owners(&["b*"]).iter().all(|owner| owner == "b"));
        assert_eq!(owners(&["b*", "c*"]).len(), 64);
        assert!(owners(&[]).is_empty());
    }
}

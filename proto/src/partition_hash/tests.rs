//! Reference vectors of SipHash, the partitions of release 0.1, and the spread of chosen ids.

use std::iter::zip;

use proptest::prelude::*;

use super::*;

/// SipHash-2-4 of the bytes 0, 1, … under the key 0, 1, …, 15, by the reference implementation of its authors: inputs of
/// 20 to 30 bytes, in little-endian order.
const REFERENCE: [[u8; 8]; 11] = [
    [0x98, 0xee, 0xa2, 0x1a, 0xf2, 0x5c, 0xd6, 0xbe],
    [0xc7, 0x67, 0x3b, 0x2e, 0xb0, 0xcb, 0xf2, 0xd0],
    [0x88, 0x3e, 0xa3, 0xe3, 0x95, 0x67, 0x53, 0x93],
    [0xc8, 0xce, 0x5c, 0xcd, 0x8c, 0x03, 0x0c, 0xa8],
    [0x94, 0xaf, 0x49, 0xf6, 0xc6, 0x50, 0xad, 0xb8],
    [0xea, 0xb8, 0x85, 0x8a, 0xde, 0x92, 0xe1, 0xbc],
    [0xf3, 0x15, 0xbb, 0x5b, 0xb8, 0x35, 0xd8, 0x17],
    [0xad, 0xcf, 0x6b, 0x07, 0x63, 0x61, 0x2e, 0x2f],
    [0xa5, 0xc9, 0x1d, 0xa7, 0xac, 0xaa, 0x4d, 0xde],
    [0x71, 0x65, 0x95, 0x87, 0x66, 0x50, 0xa2, 0xa6],
    [0x28, 0xef, 0x49, 0x5c, 0x53, 0xa3, 0x87, 0xad],
];

/// `COUNT PARTITION ID` by line, computed by release 0.1.
const PARTITIONS_0_1: &str = include_str!("../../golden/0.1/partitions.txt");

fn reference_key() -> [u8; PARTITION_KEY] {
    std::array::from_fn(|index| index as u8)
}

fn id(text: &str) -> StreamId {
    StreamId::parse(text).unwrap()
}

#[test]
fn the_keyed_hash_is_siphash_2_4() {
    // The example in appendix A of the paper.
    let of_paper: Vec<u8> = (0..15).collect();
    let hash = SipHasher24::new_with_key(&reference_key()).hash(&of_paper);
    assert_eq!(hash, 0xa129_ca61_49be_45e5);
    let keyed = PartitionHash::new(Some(reference_key()));
    for (length, expected) in zip(20_u8.., REFERENCE) {
        let text = String::from_utf8((0..length).collect()).unwrap();
        assert_eq!(keyed.hash(&id(&text)), u64::from_le_bytes(expected), "{length}");
    }
}

/// Stored streams are located by these partitions.
#[test]
fn the_unkeyed_partitions_are_those_of_release_0_1() {
    let mut lines = 0;
    for line in PARTITIONS_0_1.lines() {
        let [count, partition, text] = line.split(' ').collect::<Vec<_>>()[..] else {
            panic!("{line}");
        };
        let found = PartitionHash::UNKEYED.partition(&id(text), count.parse().unwrap());
        assert_eq!(found, Some(partition.parse().unwrap()), "{line}");
        lines += 1;
    }
    assert_eq!(lines, 240);
}

#[test]
fn a_key_has_16_bytes_or_none() {
    assert_eq!(PartitionHash::from_key(&[]), Ok(PartitionHash::UNKEYED));
    for length in [1, 15, 17, 32] {
        assert_eq!(PartitionHash::from_key(&vec![7; length]), Err(PartitionKeyError(length)));
    }
    let keyed = PartitionHash::from_key(&[7; 16]).unwrap();
    assert_eq!((keyed, keyed.key()), (PartitionHash::new(Some([7; 16])), &[7; 16][..]));
    assert!(keyed.is_keyed() && PartitionHash::UNKEYED.key().is_empty());
}

#[test]
fn debug_hides_the_key() {
    let keyed = PartitionHash::new(Some([171; 16]));
    assert_eq!(format!("{keyed:?}"), "PartitionHash(keyed)");
}

#[test]
fn no_partition_exists_below_count_1() {
    for hash in [PartitionHash::UNKEYED, PartitionHash::new(Some(reference_key()))] {
        assert_eq!(hash.partition(&id("aaaaaaaaaaaaaaaaaaaa"), 0), None);
        assert_eq!(hash.partition(&id("aaaaaaaaaaaaaaaaaaaa"), 1), Some(0));
    }
}

/// Ids that all fall into partition 0 of 64 without a key.
fn aimed(count: usize) -> Vec<StreamId> {
    let ids = (0_u32..).map(|number| id(&format!("chosen-stream-{number:08}")));
    ids.filter(|id| PartitionHash::UNKEYED.partition(id, 64) == Some(0)).take(count).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    /// Counts of 4,096 ids have a mean of 64 and a deviation of 8, so the bounds are 6 and 8 deviations away.
    #[test]
    fn ids_aimed_at_one_partition_spread_under_an_unknown_key(key: [u8; PARTITION_KEY]) {
        let hash = PartitionHash::new(Some(key));
        let mut counts = [0_u32; 64];
        for id in aimed(4096) {
            counts[hash.partition(&id, 64).unwrap() as usize] += 1;
        }
        prop_assert!(counts.iter().all(|count| (16..=128).contains(count)), "{counts:?}");
    }
}

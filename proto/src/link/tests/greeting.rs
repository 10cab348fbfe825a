//! Hellos of this build, of release 0.1 and of later releases.

use crate::link::greeting::{GreetingError, accept_core, accept_edge, core_hello, edge_hello};
use crate::link::pb;
use crate::{Feature, Features, PartitionHash};

const KEYED: PartitionHash = PartitionHash::new(Some([7; 16]));

/// As release 0.1 sends the hello.
fn edge_0_1() -> pb::EdgeHello {
    pb::EdgeHello { version: 1, edge_id: "edge-1".to_owned(), ..Default::default() }
}

fn core_0_1() -> pb::CoreHello {
    let core_id = "core-1".to_owned();
    pb::CoreHello { version: 1, core_id, partitions: 64, ..Default::default() }
}

#[test]
fn two_sides_of_this_build_use_all_features() {
    let edge = accept_edge(edge_hello("edge-1".to_owned()), KEYED).unwrap();
    assert_eq!((edge.version, edge.features), (1, Features::LINK));
    let core = accept_core(core_hello("core-1".to_owned(), 64, KEYED)).unwrap();
    assert_eq!((core.version, core.features), (1, Features::LINK));
    assert_eq!((core.partitions, core.hash), (64, KEYED));
}

#[test]
fn a_peer_of_release_0_1_has_no_features() {
    let edge = accept_edge(edge_0_1(), PartitionHash::UNKEYED).unwrap();
    assert_eq!((edge.version, edge.features), (1, Features::NONE));
    let core = accept_core(core_0_1()).unwrap();
    assert_eq!((core.version, core.features), (1, Features::NONE));
    assert_eq!(core.hash, PartitionHash::UNKEYED);
}

#[test]
fn features_and_versions_of_a_later_release_are_harmless() {
    let features = vec!["from-the-future".to_owned(), "keyed-partitions".to_owned()];
    let edge = pb::EdgeHello { max_version: 9, features: features.clone(), ..edge_0_1() };
    let accepted = accept_edge(edge, KEYED).unwrap();
    let common = Features::NONE.with(Feature::KeyedPartitions);
    assert_eq!((accepted.version, accepted.features), (1, common));
    let core = pb::CoreHello { max_version: 9, features, ..core_0_1() };
    assert_eq!(accept_core(core).unwrap().features, common);
}

#[test]
fn an_edge_without_the_keyed_hash_is_refused_at_a_keyed_store() {
    let error = accept_edge(edge_0_1(), KEYED).unwrap_err();
    assert_eq!(error, GreetingError::UnkeyedEdge);
    assert_eq!(
        error.to_string(),
        "hello.features: keyed-partitions is missing, and this store assigns streams to partitions by a keyed hash: \
         upgrade the edge to release 0.2 or later"
    );
}

#[test]
fn a_peer_without_a_common_version_is_refused() {
    for (version, max_version, newest) in [(0, 0, 0), (2, 0, 2), (2, 3, 3)] {
        let error = GreetingError::Version { oldest: version, newest };
        let edge = pb::EdgeHello { version, max_version, ..edge_0_1() };
        assert_eq!(accept_edge(edge, PartitionHash::UNKEYED), Err(error));
        let core = pb::CoreHello { version, max_version, ..core_0_1() };
        assert_eq!(accept_core(core), Err(error));
    }
}

#[test]
fn a_key_of_another_length_is_refused() {
    for length in [1, 15, 17] {
        let core = pb::CoreHello { partition_key: vec![7; length].into(), ..core_0_1() };
        let error = accept_core(core).unwrap_err();
        assert!(error.to_string().starts_with("hello.partition_key: "), "{error}");
    }
}

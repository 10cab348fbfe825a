//! Content of clients with verified identities.

use minerva_proto::Identity;

use super::kinds::{needed_version, snapshot_of_version_3};
use super::*;

pub(super) fn identity() -> Identity {
    Identity {
        issuer: "https://id.example".to_owned(),
        subject: "ann".to_owned(),
        audience: vec!["chat".to_owned(), "board".to_owned()],
        token_id: "t1".to_owned(),
        issued_at: 1_800_000_000,
        expires_at: 1_800_000_600,
        claims: vec![("role".to_owned(), "\"admin\"".to_owned())],
    }
}

pub(super) fn identified() -> Record {
    Record::Identified { identity: identity().into() }
}

/// An older reader would drop the identity, so that the stream would have no end.
#[test]
fn an_identity_needs_a_reader_of_version_7() {
    let records = [(StreamNumber(1), identified())];
    let entry = |version| encode_entry(&context(version), LogIndex(0), &records);
    let identity = Some(identity().into());
    let snapshot = Snapshot { identity, ..snapshot_of_version_3() };
    for version in [1, 6, 7] {
        assert_eq!(needed_version(&entry(version)), 7, "{version}");
        let blob = snapshot.encode(&context(version), StreamNumber(1), LogIndex(0));
        assert_eq!(needed_version(&blob), 7, "{version}");
        let (decoded, _) = Snapshot::decode(PARTITION, StreamNumber(1), blob).unwrap();
        assert_eq!(decoded.identity, snapshot.identity);
    }
}

#[test]
fn the_identity_is_the_last_one_and_fixed_after_the_end() {
    let mut state = StreamState::restore(snapshot_of_version_3()).unwrap();
    let later = Identity { expires_at: 1_900_000_000, ..identity() };
    for record in [identified(), Record::Identified { identity: later.clone().into() }] {
        state.apply(&record, ClaimTag(2)).unwrap();
    }
    assert_eq!(state.identity().map(|identity| &**identity), Some(&later));
    let ended = Ended { reset: Reset::new("token expired", false), by: EndedBy::Core };
    state.apply(&Record::Ended(ended), ClaimTag(2)).unwrap();
    assert!(state.apply(&identified(), ClaimTag(2)).is_err());
}

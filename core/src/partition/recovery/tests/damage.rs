//! Recovery of damaged state: each stream is served in full or quarantined.

use super::*;

const GARBAGE: &[u8] = b"garbage";

fn is_lost(recovered: &Recovered, number: StreamNumber) -> bool {
    let ended = recovered.streams[&number].inbox().ended();
    assert_eq!(ended.is_some(), recovered.damage().quarantined.contains(&number), "{number}");
    ended.is_some_and(|(_, ended)| ended.is_loss())
}

fn quarantined(recovered: &Recovered) -> Vec<u64> {
    recovered.damage().quarantined.iter().map(|number| number.0).collect()
}

/// Two streams in the checkpoint; the log has one message of each.
fn two_streams() -> Claimed {
    let snapshot_of = |number, text| {
        let records = [assigned("one"), sent(text)];
        (number, snapshot(number, &state(&records).snapshot(), FIRST))
    };
    let log = [vec![(STREAM, sent("seven"))], vec![(OTHER, sent("eight"))]];
    claimed(vec![snapshot_of(STREAM, "7"), snapshot_of(OTHER, "8")], &log)
}

#[test]
fn a_damaged_snapshot_quarantines_only_that_stream() {
    let mut claimed = two_streams();
    claimed.streams[0].1 = GARBAGE.into();
    let recovered = recover(&claimed);
    assert!(is_lost(&recovered, STREAM) && !is_lost(&recovered, OTHER));
    assert_eq!(outbox(&recovered.streams[&OTHER]), ["8", "eight"]);
    assert!(is_placeholder(&recovered.streams[&STREAM]), "the origin is unknown");
    let damage = recovered.damage();
    assert_eq!((damage.kept, damage.count), (1, 1));
    assert_eq!(damage.blobs.keys().collect::<Vec<_>>(), ["stream 7"]);
    assert!(recovered.changed.contains(&STREAM), "the next checkpoint replaces the snapshot");
    assert!(recovered.meta.rollback.is_some(), "the client is found by no id");
}

#[test]
fn an_unreadable_entry_quarantines_the_streams_that_do_not_include_it() {
    let mut claimed = two_streams();
    let later = StreamNumber(9);
    let ahead = state(&[sent("9"), sent("nine")]).snapshot();
    claimed.streams.push((later, snapshot(later, &ahead, LogIndex(12))));
    claimed.log[0] = GARBAGE.into();
    claimed.log.push(entry(LogIndex(12), &[(StreamNumber(11), opened())]));
    let recovered = recover(&claimed);
    assert_eq!(quarantined(&recovered), [7, 8, 10], "stream 10 was created before stream 11");
    assert_eq!(outbox(&recovered.streams[&later]), ["9", "nine"]);
    assert!(!is_lost(&recovered, StreamNumber(11)));
    let known = &recovered.streams[&OTHER];
    assert_eq!((known.origin(), known.instance()), (&hello_origin(), Some(&Arc::from("one"))));
    let blobs: Vec<_> = recovered.damage().blobs.keys().cloned().collect();
    assert_eq!(blobs, ["entry 10"]);
    let intact: Vec<_> = recovered.damage().intact.keys().cloned().collect();
    assert_eq!(intact, ["stream 7", "stream 8"]);
    assert_eq!(recovered.damage().first_index, Some(LogIndex(10)));
    assert_eq!(recovered.meta.streams_made, 11, "all numbers are accounted for");
}

#[test]
fn an_unreadable_last_entry_reserves_the_numbers_of_streams_that_it_may_have_created() {
    let mut claimed = two_streams();
    claimed.log[1] = GARBAGE.into();
    let recovered = recover(&claimed);
    assert_eq!(quarantined(&recovered), [7, 8]);
    assert!(is_jump(8, recovered.meta.streams_made));
    assert_eq!(recovered.meta.rollback.unwrap().streams_made, 8);
}

#[test]
fn an_inconsistent_or_unknown_record_quarantines_its_stream() {
    for (record, number) in [(opened(), STREAM), (sent("x"), StreamNumber(9))] {
        let mut claimed = two_streams();
        claimed.log.push(entry(LogIndex(12), &[(number, record), (OTHER, sent("more"))]));
        let recovered = recover(&claimed);
        assert!(is_lost(&recovered, number));
        assert_eq!(outbox(&recovered.streams[&OTHER]), ["8", "eight", "more"]);
        assert_eq!(recovered.damage().first_index, Some(LogIndex(12)));
    }
}

#[test]
fn a_quarantined_stream_keeps_its_last_instance_and_service() {
    let mut claimed = two_streams();
    let service = Record::ServiceSelected { service: "chat".into() };
    let records = [opened(), service, assigned("one"), opened(), assigned("two"), sent("x")];
    let records = records.map(|record| (StreamNumber(9), record));
    claimed.log.push(entry(LogIndex(12), &records));
    let recovered = recover(&claimed);
    let lost = &recovered.streams[&StreamNumber(9)];
    assert!(is_lost(&recovered, StreamNumber(9)));
    assert_eq!((&**lost.service(), lost.instance()), ("chat", Some(&"two".into())));
    assert!(outbox(lost).is_empty());
    assert_eq!(lost.inbox().ended().unwrap().0, EventNumber(1));
    assert!(recovered.meta.rollback.is_none(), "the client is found by the id");
}

#[test]
fn a_damaged_or_missing_meta_blob_never_assigns_a_number_again() {
    for damaged in [Some(GARBAGE.into()), None] {
        let recovered = recover(&Claimed { meta: damaged, ..two_streams() });
        assert_eq!((quarantined(&recovered), recovered.damage().count), (vec![], 1));
        assert!(is_jump(8, recovered.meta.streams_made));
        assert!(recovered.meta.rollback.is_some());
    }
}

#[test]
fn a_partition_that_was_reset_reports_all_streams_as_lost() {
    let empty = Claimed { meta: None, ..claimed(Vec::new(), &[]) };
    let recovered = recover(&empty);
    assert!(is_jump(0, recovered.meta.streams_made));
    assert_eq!(recovered.meta.rollback.unwrap().streams_made, 0);
    let unused = Claimed { first_index: LogIndex(0), ..empty };
    assert!(recover(&unused).damage().is_none());
}

#[test]
fn a_log_behind_a_lost_head_quarantines_all_streams() {
    let head = |claimed| Claimed { meta: None, first_index: LogIndex(0), ..claimed };
    let recovered = recover(&head(two_streams()));
    assert_eq!(quarantined(&recovered), [7, 8], "the snapshots include no entry of the log");
    assert!(is_jump(8, recovered.meta.streams_made));
    let recovered = recover(&Claimed { log: vec![], ..head(two_streams()) });
    assert_eq!(quarantined(&recovered), [7, 8], "the log may have been longer");
}

#[test]
fn a_snapshot_beyond_the_log_quarantines_the_streams_behind_it() {
    let mut claimed = two_streams();
    let ahead = state(&[sent("9")]).snapshot();
    claimed.streams.push((StreamNumber(9), snapshot(StreamNumber(9), &ahead, LogIndex(13))));
    let recovered = recover(&claimed);
    assert_eq!(quarantined(&recovered), [7, 8, 9], "the log may have continued");
    assert!(recovered.changed.contains(&StreamNumber(9)), "the snapshot is written anew");
}

#[test]
fn numbers_of_other_partitions_are_not_recorded() {
    let mut claimed = two_streams();
    let foreign = StreamNumber::new(1, 5);
    claimed.log.push(entry(LogIndex(12), &[(foreign, opened())]));
    let recovered = recover(&claimed);
    assert_eq!(quarantined(&recovered), [0; 0]);
    assert_eq!(recovered.meta.streams_made, 8);
    assert!(recovered.meta.rollback.is_some() && recovered.damage().count == 1);
}

#[tokio::test]
async fn the_damaged_blob_stays_in_the_quarantine_of_many_streams() {
    use crate::store::{OperatorStore, Store, memory::MemoryStore};
    for (streams, first) in [(998, "stream 1"), (999, "stream 1"), (1000, "stream 10")] {
        let saved = snapshot(StreamNumber(0), &state(&[]).snapshot(), FIRST);
        let mut damage = Damage::default();
        for stream in 1..=streams {
            damage.add_intact(format!("stream {stream}"), &saved);
        }
        damage.add_entry(FIRST, &GARBAGE.into(), "test");
        let store = MemoryStore::new();
        let epoch = store.claim(0, "me", Epoch(0)).await.unwrap().epoch;
        for batch in damage.batches(10_000) {
            store.quarantine(0, epoch, batch).await.unwrap();
        }
        let kept = store.inspect(0).await.unwrap().quarantined;
        assert_eq!(kept.len(), 1000.min(streams + 1));
        assert_eq!((&*kept[0].0, &*kept[kept.len() - 1].0), (first, "entry 10"), "{streams}");
    }
}

//! Missing, older and misnamed snapshots, which have no damaged byte.

use super::*;
use crate::state::StoredSnapshots;

/// Streams 1 to 40 of a finished checkpoint at index 10, with the summary.
fn forty_streams() -> Claimed {
    let numbers = (1..=40).map(StreamNumber);
    let saved = |number| (number, snapshot(number, &state(&[sent("x")]).snapshot(), FIRST));
    let stored: StoredSnapshots = numbers.clone().map(|number| (number, FIRST)).collect();
    let checkpoint = Some(CheckpointSummary::new(FIRST, &stored));
    let meta = Meta { streams_made: 40, checkpoint, ..Meta::default() };
    let log = [vec![(OTHER, sent("eight"))]];
    Claimed { meta: Some(meta.encode(&context(1))), ..claimed(numbers.map(saved).collect(), &log) }
}

fn quarantined(recovered: &Recovered) -> Vec<u64> {
    recovered.damage().quarantined.iter().map(|number| number.0).collect()
}

#[test]
fn an_intact_checkpoint_agrees_with_the_summary() {
    let recovered = recover(&forty_streams());
    assert!(recovered.damage().is_none(), "{:?}", recovered.damage());
    assert_eq!(recovered.stored.len(), 40);
}

#[test]
fn a_missing_snapshot_quarantines_its_stream_alone() {
    let mut claimed = forty_streams();
    claimed.streams.retain(|(number, _)| *number != STREAM);
    let recovered = recover(&claimed);
    assert_eq!(quarantined(&recovered), [7], "{:?}", recovered.damage());
    assert!(recovered.damage().first_cause().contains("stream 7: the snapshot is missing"));
    let next = next_claim(&claimed, &recovered);
    assert!(recover(&next).damage().is_none(), "the next checkpoint has another summary");
}

#[test]
fn a_misnamed_snapshot_quarantines_the_missing_stream() {
    for (name, is_number) in
        [("5", false), ("71", true), ("9000000000000000000", true), ("7x", false)]
    {
        let mut claimed = forty_streams();
        let at = claimed.streams.iter().position(|(number, _)| *number == STREAM).unwrap();
        let (_, blob) = claimed.streams.remove(at);
        match name.parse() {
            Ok(number) if is_number => claimed.streams.push((StreamNumber(number), blob)),
            // One name remains of two equal ones.
            Ok(_) => {}
            Err(_) => claimed.unreadable = vec![(name.into(), blob)],
        }
        let recovered = recover(&claimed);
        assert_eq!(quarantined(&recovered), [7], "{name}: {:?}", recovered.damage());
        if let Ok(number) = name.parse().map(StreamNumber)
            && is_number
        {
            let is_removed = recovered.changed.contains(&number);
            assert!(is_removed && !recovered.streams.contains_key(&number), "{name}");
        }
    }
}

#[test]
fn an_older_snapshot_quarantines_the_streams_of_its_group() {
    let mut claimed = forty_streams();
    claimed.streams[6].1 = snapshot(STREAM, &state(&[]).snapshot(), LogIndex(9));
    let recovered = recover(&claimed);
    assert_eq!(quarantined(&recovered), [7, 23, 39], "{:?}", recovered.damage());
}

#[test]
fn several_missing_snapshots_make_every_unknown_stream_lost() {
    let mut claimed = forty_streams();
    claimed.streams.drain(..2);
    let recovered = recover(&claimed);
    assert_eq!(recovered.meta.rollback.as_ref().unwrap().streams_made, 0);
    assert!(is_jump(0, recovered.meta.streams_made));
    assert!(recovered.damage().first_cause().contains("38 snapshots instead of those of 40"));
}

#[test]
fn a_meta_blob_of_an_earlier_checkpoint_never_repeats_a_number() {
    let mut claimed = forty_streams();
    claimed.first_index = FIRST.next();
    claimed.log.clear();
    let recovered = recover(&claimed);
    assert!(is_jump(40, recovered.meta.streams_made), "{:?}", recovered.damage());
}

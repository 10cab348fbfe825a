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

/// The state at the next claim if the owner dies after the first `written` snapshots of the repair.
fn unfinished_repair(claimed: &Claimed, recovered: &Recovered, written: usize) -> Claimed {
    let as_of = claimed.next_index();
    let mut checkpoint = recovered.checkpoint.clone().unwrap();
    let mut streams: BTreeMap<_, _> = claimed.streams.iter().cloned().collect();
    for number in recovered.changed.iter().take(written) {
        let state = recovered.streams[number].snapshot();
        streams.insert(*number, state.encode(&context(claimed.epoch.0), *number, as_of));
        checkpoint.replace(*number, Some(as_of));
    }
    Claimed {
        epoch: Epoch(claimed.epoch.0 + 1),
        meta: Some(checkpoint.encode()),
        streams: streams.into_iter().collect(),
        ..claimed.clone()
    }
}

type Damages = [(&'static str, fn(&mut Claimed)); 5];

#[test]
fn a_repair_that_ends_early_leaves_the_remaining_damage_visible() {
    let damages: Damages = [
        ("older", |claimed| {
            claimed.streams[6].1 = snapshot(STREAM, &state(&[]).snapshot(), LogIndex(9));
        }),
        ("missing", |claimed| claimed.streams.retain(|(number, _)| number.0 != 39)),
        ("unreadable", |claimed| claimed.streams[38].1 = Bytes::from_static(b"garbage")),
        ("missing and unreadable", |claimed| {
            claimed.streams[2].1 = Bytes::from_static(b"garbage");
            claimed.streams.retain(|(number, _)| number.0 != 39);
        }),
        ("shorter log", |claimed| claimed.claims = claims(&[(1, 0), (2, 15), (3, 11)])),
    ];
    for (name, damage) in damages {
        let mut claimed = forty_streams();
        damage(&mut claimed);
        let recovered = recover(&claimed);
        let damaged = recovered.damage().quarantined.clone();
        assert!(!damaged.is_empty(), "{name}");
        for written in 0..recovered.changed.len() {
            let again = recover(&unfinished_repair(&claimed, &recovered, written));
            let found = &again.damage().quarantined;
            assert!(found.is_subset(&damaged), "{name} after {written}: {:?}", again.damage());
            let is_lost = |number: &&StreamNumber| {
                again.streams[number].inbox().ended().is_some_and(|(_, ended)| ended.is_loss())
            };
            let lost = damaged.iter().filter(is_lost).count();
            assert_eq!(lost, damaged.len(), "{name} after {written}: {:?}", again.damage());
        }
    }
}

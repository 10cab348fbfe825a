//! Entries of another timeline, lost ends of the log, and stream numbers after repeated damage.

use super::*;

/// Streams 7 and 8 as of index 10.
fn saved() -> Vec<(StreamNumber, Bytes)> {
    let saved = |number| (number, snapshot(number, &state(&[]).snapshot(), FIRST));
    vec![saved(STREAM), saved(OTHER)]
}

fn entry_of(epoch: u64, index: LogIndex, stream: StreamNumber, record: Record) -> Bytes {
    encode_entry(&context(epoch), index, &[(stream, record)])
}

fn quarantined(recovered: &Recovered) -> Vec<u64> {
    recovered.damage().quarantined.iter().map(|number| number.0).collect()
}

#[test]
fn an_entry_of_an_older_timeline_quarantines_the_streams_that_do_not_include_it() {
    for (epoch, damaged) in [(2, vec![]), (1, vec![7, 8])] {
        let mut claimed = claimed(saved(), &[]);
        claimed.meta = Some(meta(8));
        claimed.claims = claims(&[(1, 0), (2, 10), (3, 11)]);
        claimed.log = vec![entry_of(epoch, FIRST, STREAM, sent("x"))];
        let recovered = recover(&claimed);
        assert_eq!(quarantined(&recovered), damaged, "{:?}", recovered.damage());
        assert_eq!(recovered.damage().count, usize::from(epoch == 1));
    }
}

#[test]
fn a_log_that_was_longer_at_an_earlier_claim_quarantines_all_streams_once() {
    let mut claimed = claimed(saved(), &[vec![(STREAM, sent("x"))]]);
    claimed.meta = Some(meta(8));
    claimed.claims = claims(&[(1, 0), (2, 15), (3, 11)]);
    let recovered = recover(&claimed);
    assert_eq!(quarantined(&recovered), [7, 8]);
    assert_eq!(recovered.damage().first_index, Some(LogIndex(11)));
    assert!(is_jump(8, recovered.meta.streams_made), "the lost entries may have created streams");
    let mut next = next_claim(&claimed, &recovered);
    next.claims = claims(&[(1, 0), (2, 15), (3, 11), (4, 11)]);
    assert!(recover(&next).damage().is_none(), "the checkpoint of epoch 3 has settled the loss");
}

#[test]
fn a_number_is_assigned_once_although_all_counts_are_lost_again() {
    let garbage = Some(Bytes::from_static(b"garbage"));
    for damaged in [None, garbage] {
        let mut partition = Claimed { meta: damaged.clone(), ..claimed(Vec::new(), &[]) };
        let mut last = 0;
        for round in 0..200 {
            let recovered = recover(&partition);
            assert!(recovered.meta.streams_made > last, "round {round}");
            let new = StreamNumber(recovered.meta.streams_made + 1);
            last = new.count();
            partition = next_claim(&partition, &recovered);
            let epoch = partition.epoch.0;
            partition.log = vec![entry_of(epoch, partition.first_index, new, opened())];
            partition.epoch = Epoch(epoch + 1);
            let intact = recover(&partition);
            assert!(intact.damage().is_none() && intact.streams.contains_key(&new), "{round}");
            // All streams, the log and the counts are lost.
            partition = next_claim(&partition, &intact);
            (partition.meta, partition.streams) = (damaged.clone(), Vec::new());
        }
    }
}

#[test]
fn a_damaged_record_of_release_0_1_may_belong_to_any_stream() {
    // Entries of release 0.1: version 1 and one record that creates, or sends to, a stream.
    let unsealed = |records: &[(StreamNumber, Record)]| {
        let sealed = encode_entry(&BlobContext::default(), FIRST, records);
        let message = sealed.windows(3).position(|bytes| bytes == [0x08, 0x01, 0x12]).unwrap();
        sealed.slice(message..)
    };
    let unknown = StreamNumber(6);
    for (number, record, damaged) in
        [(STREAM, sent("x"), &[][..]), (unknown, sent("x"), &[7, 8]), (STREAM, opened(), &[7, 8])]
    {
        let mut claimed = claimed(saved(), &[]);
        claimed.meta = Some(meta(8));
        claimed.log = vec![unsealed(&[(number, record)])];
        assert_eq!(quarantined(&recover(&claimed)), damaged, "{number}");
    }
}

#[test]
fn a_stream_with_a_damaged_number_is_reported_without_its_whole_name() {
    let name = [&b"1\xff"[..], &[b'x'; 1000]].concat();
    let mut claimed = claimed(saved(), &[]);
    claimed.unreadable = vec![(name.into(), Bytes::from_static(b"x"))];
    let recovered = recover(&claimed);
    let cause = recovered.damage().first_cause();
    assert!(cause.starts_with("stream 1\\xffxxx") && cause.len() < 200, "{cause}");
    assert_eq!(recovered.damaged_names.len(), 1);
    assert_eq!(recovered.meta.rollback.unwrap().streams_made, 0, "any stream may be missing");
}

#[test]
fn a_log_below_its_recorded_end_quarantines_all_streams() {
    for (end, damaged) in [(10, &[][..]), (11, &[7, 8])] {
        let mut claimed = claimed(saved(), &[]);
        claimed.meta = Some(meta(8));
        claimed.recorded = Some(RecordedSizes { next_index: LogIndex(end), streams: 2 });
        let recovered = recover(&claimed);
        assert_eq!(quarantined(&recovered), damaged, "{:?}", recovered.damage());
        assert_eq!(
            is_jump(8, recovered.meta.streams_made),
            end > 10,
            "lost entries created streams"
        );
    }
}

#[test]
fn fewer_snapshots_than_recorded_make_every_unknown_stream_lost() {
    for (streams, is_lost) in [(2, false), (3, true)] {
        let mut claimed = claimed(saved(), &[]);
        claimed.recorded = Some(RecordedSizes { next_index: FIRST, streams });
        let recovered = recover(&claimed);
        assert_eq!(recovered.damage().count, usize::from(is_lost), "{:?}", recovered.damage());
        let lost = recovered.meta.rollback.map(|rollback| rollback.streams_made);
        assert_eq!(lost, is_lost.then_some(0), "any stream may be missing");
    }
}

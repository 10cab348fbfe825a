use bytes::Bytes;
use minerva_proto::TransportKind;
use proptest::prelude::*;

use super::*;

fn good() -> link::Attach {
    link::Attach {
        transport: 7,
        service: "default".to_owned(),
        stream_id: "stream-id-stream-id-".to_owned(),
        transport_number: 3,
        create: true,
        succeeds: Some(2),
        seen_ack: Some(link::Sack { acked: -1, beyond: vec![] }),
        kind: link::TransportKind::LongPoll.into(),
        batch: Some(link::Batch {
            runs: vec![link::Run { first: 4, messages: vec![Bytes::from("hi")] }],
            ..link::Batch::default()
        }),
        ..link::Attach::default()
    }
}

/// The field that `attach` complains about.
fn complaint(change: impl FnOnce(&mut link::Attach)) -> String {
    let mut changed = good();
    change(&mut changed);
    let text = attach(changed).unwrap_err().to_string();
    text.split(": ").next().unwrap_or_default().to_owned()
}

#[test]
fn an_attach_keeps_what_it_says() {
    let attach = attach(good()).unwrap();
    assert_eq!((attach.transport, attach.transport_number), (TransportId(7), 3));
    assert_eq!((attach.kind, attach.succeeds), (Some(TransportKind::LongPoll), Some(2)));
    assert_eq!((attach.seen_ack, attach.sack), (Sack::NONE, None));
    let batch = attach.batch.unwrap();
    assert_eq!((batch.transport, batch.number), (TransportId(7), 0));
    assert_eq!(batch.runs, [Run { first: 4, messages: vec![Bytes::from("hi")] }]);
}

#[test]
fn an_unknown_kind_of_transport_is_unknown() {
    let attach = attach(link::Attach { kind: 99, ..good() }).unwrap();
    assert_eq!(attach.kind, None);
}

#[test]
fn complaints_name_the_field() {
    assert_eq!(complaint(|attach| attach.service.clear()), "attach.service");
    assert_eq!(complaint(|attach| attach.stream_id.truncate(19)), "attach.stream_id");
    assert_eq!(
        complaint(|attach| attach.transport_number = MAX_NUMBER + 1),
        "attach.transport_number"
    );
    assert_eq!(
        complaint(|attach| attach.seen_ack = Some(link::Sack { acked: -2, beyond: vec![] })),
        "attach.seen_ack"
    );
    assert_eq!(
        complaint(|attach| attach.resume = Some(link::Resume { stream: 1, next_s2c: None })),
        "attach.batch"
    );
    let kill = |kill| {
        move |attach: &mut link::Attach| {
            attach.batch = Some(link::Batch {
                end: Some(link::End { kill: Some(kill) }),
                ..link::Batch::default()
            });
        }
    };
    assert_eq!(complaint(kill(0)), "batch.end.kill");
    assert_eq!(complaint(kill(6)), "batch.end.kill");
}

#[test]
fn a_sack_lists_so_many_and_counts_so_far() {
    let try_sack = |acked, beyond| sack("sack", link::Sack { acked, beyond }).is_ok();
    for (length, ok) in [(MAX_BEYOND - 1, true), (MAX_BEYOND, true), (MAX_BEYOND + 1, false)] {
        assert_eq!(try_sack(0, vec![9; length]), ok, "{length}");
    }
    let limit = MAX_NUMBER as i64;
    for (acked, ok) in [(-2, false), (-1, true), (limit, true), (limit + 1, false)] {
        assert_eq!(try_sack(acked, vec![]), ok, "{acked}");
    }
    assert!(!try_sack(-1, vec![MAX_NUMBER + 1]));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]
    /// Whatever an edge sends, nothing panics, and the bytes of a stream id are in no complaint.
    #[test]
    fn any_bytes_are_decoded_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let request: Result<link::Attach, _> = prost::Message::decode(&bytes[..]);
        if let Ok(request) = request {
            let id = request.stream_id.clone();
            if let Err(invalid) = attach(request) {
                prop_assert!(id.len() < 20 || !invalid.to_string().contains(&id));
            }
        }
    }

    #[test]
    fn any_batch_is_decoded_or_refused(
        first in any::<u64>(),
        string in prop::collection::vec(any::<u8>(), 0..8),
        acked in any::<i64>(),
        kill in any::<i32>(),
    ) {
        let allowed = minerva_proto::is_message_allowed(&string)
            && first <= MAX_NUMBER
            && (-1..=MAX_NUMBER as i64).contains(&acked)
            && (1..=5).contains(&kill);
        let decoded = batch(link::Batch {
            runs: vec![link::Run { first, messages: vec![string.into()] }],
            sacks: vec![link::Sack { acked, beyond: vec![] }],
            end: Some(link::End { kill: Some(kill) }),
            ..link::Batch::default()
        });
        prop_assert_eq!(decoded.is_ok(), allowed);
    }
}

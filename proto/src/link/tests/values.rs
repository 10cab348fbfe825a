//! Random valid values.

use std::sync::Arc;
use std::time::Duration;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use crate::link::*;
use crate::v3::MAX_GENERATION;
use crate::*;

fn number() -> impl Strategy<Value = u64> {
    prop_oneof![0..100_u64, Just(MAX_NUMBER - 1), Just(MAX_NUMBER)]
}

fn sack() -> impl Strategy<Value = Sack> {
    (option::of(number()), vec(number(), 0..5))
        .prop_map(|(acked, beyond)| Sack::from_numbers(acked, beyond))
}

fn reset() -> impl Strategy<Value = Reset> {
    ("[ -~]{0,255}", any::<bool>())
        .prop_map(|(reason, application_level)| Reset { reason, application_level })
}

fn kill() -> impl Strategy<Value = KillReason> {
    proptest::sample::select(&KillReason::ALL[..])
}

fn run() -> impl Strategy<Value = Run> {
    // The last number of a run is at most 2^53, too.
    let first = prop_oneof![0..100_u64, Just(MAX_NUMBER - 3)];
    (first, vec(payload(), 0..4))
        .prop_map(|(first, messages)| Run { first: MessageNumber(first), messages })
}

fn payload() -> impl Strategy<Value = Payload> {
    prop_oneof![
        "[ -~]{0,20}".prop_map(Payload::from),
        "\\PC{0,9}".prop_map(Payload::from),
        vec(any::<u8>(), 0..20).prop_map(Payload::binary),
    ]
}

fn protocol() -> impl Strategy<Value = ClientProtocol> {
    let rewind = prop_oneof![
        Just(Rewind::All),
        Just(Rewind::New),
        number().prop_map(|first| Rewind::From(MessageNumber(first))),
    ];
    let generation = (0..=MAX_GENERATION, option::of(rewind), option::of(number()));
    let generation = generation.prop_map(|(number, rewind, own)| Generation {
        number,
        rewind,
        own: own.map(MessageNumber),
    });
    let proof = (any::<[u8; 16]>(), option::of(any::<[u8; 16]>()), generation);
    let proof = proof.prop_map(|(key, next, generation)| KeyProof {
        key: KeyHash(key),
        next: next.map(KeyHash),
        generation,
    });
    option::of(proof).prop_map(|proof| proof.map_or(ClientProtocol::V2, ClientProtocol::V3))
}

fn tag_history() -> impl Strategy<Value = ReceivedTags> {
    proptest::collection::btree_map(number(), any::<u64>(), 0..4).prop_map(|pairs| {
        let pair = |(first, tag)| MessageTag { first: MessageNumber(first), tag: ClaimTag(tag) };
        ReceivedTags::new(pairs.into_iter().map(pair).collect()).unwrap()
    })
}

fn batch() -> impl Strategy<Value = Batch> {
    let end = option::of(kill()).prop_map(|kill| End { kill });
    let input = (vec(run(), 0..3), vec(sack(), 0..3), tag_history());
    (any::<u64>(), input, option::of(reset()), option::of(end), ".{0,9}").prop_map(
        |(number, (runs, sacks, tag_history), reset, end, credentials)| Batch {
            number: BatchNumber(number),
            runs,
            sacks,
            tag_history,
            reset,
            end,
            credentials,
            identity: None,
        },
    )
}

fn caller() -> impl Strategy<Value = Caller> {
    let address = any::<u64>();
    ("[a-z0-9_-]{1,64}", vec(("[a-z-]{1,9}", ".{0,9}"), 0..3), ".{0,20}", address).prop_map(
        |(service, headers, peer_address, address)| Caller {
            service: service.parse().unwrap(),
            headers,
            peer_address,
            address: AddressKey(address),
        },
    )
}

fn attach() -> impl Strategy<Value = Attach> {
    let resume = (any::<u64>(), option::of(number()), any::<u64>());
    let resume = resume.prop_map(|(stream, next, tag)| Resume {
        stream: StreamNumber(stream),
        next_s2c: next.map(MessageNumber),
        tag: ClaimTag(tag),
    });
    let progress = prop_oneof![
        resume.prop_map(|resume| (Some(resume), None)),
        option::of(batch()).prop_map(|batch| (None, batch)),
    ];
    let kind = option::of(proptest::sample::select(&TransportKind::ALL[..]));
    let created = option::of((any::<u64>(), any::<u64>()).prop_map(|(stream, tag)| {
        CreatedStream { stream: StreamNumber(stream), tag: ClaimTag(tag) }
    }));
    let tags = (tag_history(), created, protocol());
    let numbers = (number(), option::of(number()), any::<u64>());
    let texts = ("[!-~]{20,30}", ".{0,20}", ".{0,20}");
    let sacks = (sack(), option::of(sack()));
    let parts = (numbers, texts, any::<[bool; 4]>(), sacks, kind, caller(), progress, tags);
    parts.prop_map(|(numbers, texts, flags, (seen_ack, sack), kind, caller, progress, tags)| {
        let ((resume, batch), (tag_history, created, protocol)) = (progress, tags);
        let [create, wants_messages, single_flush, heartbeat] = flags;
        Attach {
            stream_id: StreamId::parse(&texts.0).unwrap(),
            transport_number: TransportNumber(numbers.0),
            create,
            wants_messages,
            succeeds: numbers.1.map(TransportNumber),
            seen_ack,
            sack,
            single_flush,
            heartbeat,
            kind,
            credentials: texts.1,
            why: texts.2,
            caller: Arc::new(caller),
            s2c_bytes: numbers.2,
            resume,
            batch,
            tag_history,
            created: created.filter(|_| !create),
            protocol,
            identity: None,
        }
    })
}

pub(super) fn edge_frame() -> impl Strategy<Value = EdgeFrame> {
    let message = prop_oneof![
        attach().prop_map(|attach| EdgeMessage::Attach(Box::new(attach))),
        batch().prop_map(EdgeMessage::Batch),
        any::<u64>().prop_map(EdgeMessage::Grant),
        Just(EdgeMessage::Detach),
    ];
    (any::<u64>(), message)
        .prop_map(|(transport, message)| EdgeFrame { transport: TransportId(transport), message })
}

fn close() -> impl Strategy<Value = Close> {
    let unavailable = (".{0,20}", any::<u32>()).prop_map(|(reason, retry_after_ms)| {
        let retry_after = Duration::from_millis(retry_after_ms.into());
        CloseCause::Unavailable { reason, retry_after }
    });
    let cause = prop_oneof![
        Just(CloseCause::Gentle),
        kill().prop_map(CloseCause::Kill),
        reset().prop_map(CloseCause::Reset),
        unavailable,
        ".{0,20}".prop_map(|reason| CloseCause::Refused { reason }),
        Just(CloseCause::WrongVersion),
        Just(CloseCause::Superseded),
        Just(CloseCause::Moved),
    ];
    (option::of(sack()), option::of(sack()), cause).prop_map(|(sack, status, cause)| Close {
        sack,
        status,
        cause,
    })
}

pub(super) fn core_frame() -> impl Strategy<Value = CoreFrame> {
    let positions = (number(), number())
        .prop_map(|(from, own)| Positions { from: MessageNumber(from), own: MessageNumber(own) });
    let numbers = (any::<u64>(), any::<u64>(), any::<u64>());
    let opened = (any::<bool>(), option::of(sack()), numbers, option::of(positions));
    let opened =
        opened.prop_map(|(created, sack, (stream, tag, after), positions)| CoreMessage::Opened {
            created,
            sack,
            stream: StreamNumber(stream),
            created_tag: ClaimTag(tag),
            heartbeat_after: MessageNumber(after),
            positions,
        });
    let message = prop_oneof![
        opened,
        sack().prop_map(CoreMessage::Sack),
        run().prop_map(CoreMessage::Messages),
        any::<u64>().prop_map(|tag| CoreMessage::Tag(ClaimTag(tag))),
        any::<bool>().prop_map(CoreMessage::Compress),
        any::<u32>().prop_map(|ms| CoreMessage::Renew(Duration::from_millis(ms.into()))),
        close().prop_map(|close| CoreMessage::Close(Box::new(close))),
        any::<u64>().prop_map(|batch| CoreMessage::Taken(BatchNumber(batch))),
    ];
    let of_transport = (any::<u64>(), message).prop_map(|(transport, message)| {
        CoreFrame::Transport { transport: TransportId(transport), message }
    });
    let claim = (any::<u32>(), any::<u64>());
    let claim = claim.prop_map(|(partition, epoch)| Claim { partition, epoch });
    prop_oneof![
        4 => of_transport,
        1 => vec(claim, 0..4).prop_map(CoreFrame::Owned),
        1 => vec(any::<u32>(), 0..4).prop_map(CoreFrame::Released),
    ]
}

//! Version 2 keeps its bytes: hashes over a generated corpus, taken from the release before version 3.
//!
//! A changed hash is a change that clients of version 2 can see.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use minerva_proto::{
    Eeds, Frame, Framing, Hello, KillReason, MAX_NUMBER, Message, MessageNumber, QanFrame, Reset,
    Sack, StreamId, TransportNumber,
};

/// splitmix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    /// A number of any magnitude up to 2^53.
    fn number(&mut self) -> u64 {
        let shift = self.below(54);
        (self.next() >> 10 >> shift).min(MAX_NUMBER)
    }

    fn flag(&mut self) -> bool {
        self.below(2) == 0
    }

    /// A text of the characters in `alphabet`.
    fn text(&mut self, alphabet: &[char], longest: u64) -> String {
        let length = self.below(longest + 1);
        (0..length).map(|_| alphabet[self.below(alphabet.len() as u64) as usize]).collect()
    }

    fn sack(&mut self) -> Sack {
        let acked = self.flag().then(|| self.number());
        let beyond: Vec<u64> = (0..self.below(5)).map(|_| self.number()).collect();
        Sack::from_numbers(acked, beyond)
    }
}

/// FNV-1a, 64 bits.
#[derive(Clone, Copy)]
struct Hash(u64);

impl Hash {
    const NEW: Self = Self(0xcbf2_9ce4_8422_2325);

    fn add(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}

fn printable() -> Vec<char> {
    (' '..='~').collect()
}

fn frame(random: &mut Random) -> Frame {
    let text = |random: &mut Random| Bytes::from(random.text(&printable(), 200));
    match random.below(10) {
        0 => Frame::Hello(text(random)),
        1 => Frame::String(text(random)),
        2 => Frame::SeqNum(MessageNumber(random.number())),
        3 => Frame::Sack(random.sack()),
        4 => Frame::StreamStatus(random.sack()),
        5 => Frame::StreamCreated,
        6 => Frame::YouCloseIt,
        7 => Frame::Comment(text(random)),
        8 => {
            let reason = random.text(&['a', ' ', '|', '~', 'é', '\n'], 300);
            Frame::Reset(Reset::new(&reason, random.flag()))
        }
        _ => Frame::TransportKill(KillReason::ALL[random.below(5) as usize]),
    }
}

fn hello(random: &mut Random) -> Hello {
    let id = random.text(&printable(), 10) + "abcdefghij0123456789";
    let texts = ['a', '"', '\\', '\n', '\u{7f}', 'é', '😀', '/'];
    Hello {
        tnum: TransportNumber(random.number()),
        id: StreamId::parse(&id).unwrap(),
        new: random.flag(),
        ming: random.flag(),
        maxia: Duration::from_secs(random.below(601)),
        beat: Duration::from_secs(random.below(601)),
        seenack: random.sack(),
        sack: random.flag().then(|| random.sack()),
        eeds: match random.below(3) {
            0 => Eeds::Absent,
            1 => Eeds::Null,
            _ => Eeds::Number(TransportNumber(random.number())),
        },
        maxt: random.flag().then(|| Duration::from_secs(random.number())),
        cred: random.flag().then(|| random.text(&texts, 40)),
        why: random.flag().then(|| random.text(&texts, 20)),
    }
}

#[test]
fn frames_are_encoded_as_before() {
    let mut random = Random(1);
    let mut hash = Hash::NEW;
    for _ in 0..20_000 {
        let frame = frame(&mut random);
        for framing in [Framing::Int32, Framing::Lines] {
            let mut wire = BytesMut::new();
            framing.put(&frame, &mut wire);
            hash.add(&wire);
        }
    }
    assert_eq!(hash.0, 0xd10a_b383_faf2_3fb5, "{:#018x}", hash.0);
}

#[test]
fn hellos_are_encoded_as_before() {
    let mut random = Random(2);
    let mut hash = Hash::NEW;
    for _ in 0..5_000 {
        hash.add(hello(&mut random).to_json().as_bytes());
    }
    assert_eq!(hash.0, 0xa952_51b8_6899_7d0d, "{:#018x}", hash.0);
}

#[test]
fn qan_frames_are_encoded_as_before() {
    let mut random = Random(3);
    let mut hash = Hash::NEW;
    for _ in 0..5_000 {
        let (number, text) = (random.number(), random.text(&printable(), 50));
        let body = Message::from(text);
        let frame = match random.below(6) {
            0 => QanFrame::Question { number, body },
            1 => QanFrame::Okay { number, body },
            2 => QanFrame::KnownError { number, body },
            3 => QanFrame::UnknownError { number, body },
            4 => QanFrame::Cancel { number },
            _ => QanFrame::Notify { body },
        };
        hash.add(frame.encode().as_bytes());
    }
    assert_eq!(hash.0, 0x82b8_d663_9122_6700, "{:#018x}", hash.0);
}

/// Edits of valid hellos and frames: accepted, with these values, or refused, with this error, as before.
#[test]
fn inputs_are_accepted_and_refused_as_before() {
    let members: Vec<&str> = concat!(
        r#""ver":2 "ver":3 "ver":2.0 "ver":null "tnum":-1 "tnum":9007199254740993 "new":1 "new":"x" "ming":0 "#,
        r#""maxia":601 "beat":1e2 "seenack":"|1\n" "sack":"1" "eeds":null "eeds":"7" "maxt":1.5 "maxb":7 "pad":16385 "#,
        r#""format":4 "cred":"é" "cred":7 "why":"é" "x":"é" "é":1 "key":7 "next":"" "gen":1 "rew":"all" "own":1 "#,
        r#""born":"x" "line":"" "z":1 "id":"short" } "x":[[1,{}]] "x":NaN "#,
    )
    .split_whitespace()
    .collect();
    let mut random = Random(4);
    let mut hash = Hash::NEW;
    for _ in 0..5_000 {
        let mut json = hello(&mut random).to_json();
        json.pop();
        for _ in 0..random.below(3) {
            json = json + "," + members[random.below(members.len() as u64) as usize];
        }
        let parsed = Hello::parse((json + "}").as_bytes()).map(|hello| hello.to_json());
        hash.add(format!("{parsed:?}").as_bytes());
    }
    for _ in 0..20_000 {
        let mut wire = BytesMut::new();
        frame(&mut random).encode(&mut wire);
        let at = random.below(wire.len() as u64) as usize;
        wire[at] = random.next() as u8;
        hash.add(format!("{:?}", Frame::decode(wire.freeze())).as_bytes());
    }
    assert_eq!(hash.0, 0xd8dc_c63a_2a02_95e7, "{:#018x}", hash.0);
}

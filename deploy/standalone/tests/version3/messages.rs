//! Messages of both kinds: every Unicode scalar value, random bytes, and lengths from empty to the limit.

use minerva_client::Message;
// The limit of applications, one byte below that of clients.
use minerva_proto::MAX_MESSAGE;

/// Scalar values per text message.
const SCALARS: usize = 4000;

/// Pseudo-random numbers (a linear congruential generator; upper bits only).
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u32 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as u32
    }

    /// A number below `bound`.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        self.next() as usize % bound
    }

    fn bytes(&mut self, length: usize) -> Vec<u8> {
        (0..length).map(|_| (self.next() >> 8) as u8).collect()
    }
}

/// All messages of one stream, the same for the same seed.
pub(crate) fn all(seed: u64) -> impl Iterator<Item = Message> {
    let mut random = Random::new(seed);
    let edges: [Message; 6] = [
        "".into(),
        Vec::new().into(),
        "\u{feff}a\n\0".into(),
        "\u{feff}".into(),
        vec![0xef, 0xbb, 0xbf].into(),
        vec![0xed, 0xa0, 0x80].into(),
    ];
    let scalars: Vec<char> = (0..=0x0010_ffff).filter_map(char::from_u32).collect();
    let texts: Vec<Message> =
        scalars.chunks(SCALARS).map(|part| part.iter().collect::<String>().into()).collect();
    let lengths = [127, 128, 16_383, 16_384, 65_535, 65_537, 200_000, MAX_MESSAGE - 1, MAX_MESSAGE];
    let random_lengths: Vec<usize> =
        (0..100).map(|number| random.below(1 << (number % 17))).collect();
    let binaries: Vec<Message> = lengths
        .into_iter()
        .chain(random_lengths)
        .map(|length| random.bytes(length).into())
        .collect();
    let longest =
        [Message::from("é".repeat(MAX_MESSAGE / 2)), "\u{1f980}".repeat(MAX_MESSAGE / 4).into()];
    edges.into_iter().chain(texts).chain(binaries).chain(longest)
}

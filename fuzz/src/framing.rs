//! Framing: a byte sequence is cut into frames, in one piece and in several.
//!
//! The first input byte is the longest frame, the second the size of the pieces.

use bytes::{BufMut, Bytes, BytesMut};
use minerva_proto::Framing;

pub fn int32(input: &[u8]) {
    run(Framing::Int32, input);
}

pub fn lines(input: &[u8]) {
    run(Framing::Lines, input);
}

pub fn int32_seeds() -> Vec<Vec<u8>> {
    seeds(Framing::Int32)
}

pub fn lines_seeds() -> Vec<Vec<u8>> {
    let mut seeds = seeds(Framing::Lines);
    seeds.push(b"\x20\x01beat^\r\n0N\r\nhello \n".to_vec());
    seeds
}

fn run(framing: Framing, input: &[u8]) {
    let [longest, piece, stream @ ..] = input else { return };
    let (longest, piece) = (usize::from(*longest), usize::from(*piece % 16) + 1);
    let whole = cut(framing, std::iter::once(stream), longest);
    let pieces = cut(framing, stream.chunks(piece), longest);
    assert_eq!(whole.frames, pieces.frames, "the size of the reads changes the frames");
    assert_eq!(whole.corrupt, pieces.corrupt, "the size of the reads changes the verdict");
    assert!(whole.frames.iter().all(|frame| frame.len() <= longest), "a frame is too long");
    if !whole.corrupt {
        assert_eq!(rebuild(framing, &whole), without_cr(framing, stream), "bytes are lost");
    }
}

struct Cut {
    frames: Vec<Bytes>,
    rest: BytesMut,
    corrupt: bool,
}

fn cut<'a>(framing: Framing, pieces: impl Iterator<Item = &'a [u8]>, longest: usize) -> Cut {
    let mut cut = Cut { frames: Vec::new(), rest: BytesMut::new(), corrupt: false };
    for piece in pieces {
        cut.rest.extend_from_slice(piece);
        loop {
            match framing.cut(&mut cut.rest, longest) {
                Ok(Some(frame)) => cut.frames.push(frame),
                Ok(None) => break,
                Err(_) => {
                    cut.corrupt = true;
                    return cut;
                }
            }
        }
    }
    cut
}

/// The byte sequence that a sender of these frames writes.
fn rebuild(framing: Framing, cut: &Cut) -> Vec<u8> {
    let mut bytes = Vec::new();
    for frame in &cut.frames {
        match framing {
            Framing::Int32 => {
                bytes.put_u32(u32::try_from(frame.len()).unwrap_or(u32::MAX));
                bytes.put_slice(frame);
            }
            Framing::Lines => {
                bytes.put_slice(frame);
                bytes.put_u8(b'\n');
            }
        }
    }
    bytes.put_slice(&cut.rest);
    bytes
}

/// Lines may end with CR LF; the comparison is made without this CR.
fn without_cr(framing: Framing, stream: &[u8]) -> Vec<u8> {
    if framing == Framing::Int32 {
        return stream.to_vec();
    }
    let is_kept = |at: &usize| stream[*at] != b'\r' || stream.get(at + 1) != Some(&b'\n');
    (0..stream.len()).filter(is_kept).map(|at| stream[at]).collect()
}

fn seeds(framing: Framing) -> Vec<Vec<u8>> {
    let mut all = BytesMut::from(&[64, 3][..]);
    let mut seeds = Vec::new();
    for frame in crate::frame::examples() {
        let mut one = BytesMut::from(&[255, 15][..]);
        framing.put(&frame, &mut one);
        framing.put(&frame, &mut all);
        seeds.push(one.to_vec());
    }
    seeds.push(all.to_vec());
    seeds
}

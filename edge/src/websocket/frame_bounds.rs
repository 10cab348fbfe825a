//! Follows the boundaries of WebSocket frames (RFC 6455, section 5.2) in a client's bytes, without their content. Pure;
//! used by `read_ahead.rs`.

/// Longest header in bytes without the mask.
const MAX_HEADER: usize = 10;

/// The current frame of an input.
#[derive(Debug, Default)]
pub(super) struct FrameBounds {
    header: [u8; MAX_HEADER],
    /// Received bytes of the header, with the mask; 0 within a payload.
    filled: usize,
    /// Remaining bytes of the payload.
    payload: u64,
}

impl FrameBounds {
    /// Bytes up to the next known boundary: the end of the payload, or of the header as far as its length is known.
    pub(super) fn to_next(&self) -> usize {
        match self.payload {
            0 => self.header_length() - self.filled,
            payload => usize::try_from(payload).unwrap_or(usize::MAX),
        }
    }

    /// Whether all frames so far are complete.
    pub(super) fn is_at_frame_end(&self) -> bool {
        self.filled == 0 && self.payload == 0
    }

    /// Passes over received bytes; returns the longest payload that begins in them.
    pub(super) fn advance(&mut self, mut bytes: &[u8]) -> u64 {
        let mut longest = 0;
        while !bytes.is_empty() {
            let (part, rest) = bytes.split_at(bytes.len().min(self.to_next()));
            if self.payload > 0 {
                self.payload -= part.len() as u64;
            } else {
                self.on_header(part);
                longest = longest.max(self.payload);
            }
            bytes = rest;
        }
        longest
    }

    fn on_header(&mut self, part: &[u8]) {
        for byte in part {
            if let Some(free) = self.header.get_mut(self.filled) {
                *free = *byte;
            }
            self.filled += 1;
        }
        if self.filled == self.header_length() {
            self.payload = self.payload_length();
            self.filled = 0;
        }
    }

    fn header_length(&self) -> usize {
        let mask = if self.header[1] & 0x80 == 0 { 0 } else { 4 };
        match self.filled {
            0 | 1 => 2,
            _ => 2 + self.length_field().len() + mask,
        }
    }

    /// The extended length.
    fn length_field(&self) -> &[u8] {
        match self.header[1] & 0x7F {
            127 => &self.header[2..10],
            126 => &self.header[2..4],
            _ => &[],
        }
    }

    fn payload_length(&self) -> u64 {
        match self.length_field() {
            [] => u64::from(self.header[1] & 0x7F),
            field => field.iter().fold(0, |length, byte| length << 8 | u64::from(*byte)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A masked frame with the shortest possible header.
    fn frame(length: usize) -> Vec<u8> {
        let mut frame = vec![0x81];
        match length {
            0..=125 => frame.push(0x80 | length as u8),
            126..=65_535 => {
                frame.push(0x80 | 126);
                frame.extend((length as u16).to_be_bytes());
            }
            _ => {
                frame.push(0x80 | 127);
                frame.extend((length as u64).to_be_bytes());
            }
        }
        frame.extend([0xAA; 4]);
        frame.resize(frame.len() + length, 0xFF);
        frame
    }

    #[test]
    fn boundaries_are_found_for_every_length_field_and_read_size() {
        let lengths = [0, 1, 125, 126, 127, 65_535, 65_536, 100_000];
        let frames: Vec<Vec<u8>> = lengths.into_iter().map(frame).collect();
        for size in [1, 2, 3, 7, 512, 1 << 20] {
            let mut bounds = FrameBounds::default();
            for (frame, length) in frames.iter().zip(lengths) {
                let parts = frame.chunks(size).map(|part| bounds.advance(part));
                assert_eq!(parts.max(), Some(length as u64), "{size}");
                assert_eq!((bounds.to_next(), bounds.filled), (2, 0), "{length} in {size}");
            }
            assert_eq!(bounds.advance(&frames.concat()), 100_000);
            assert_eq!((bounds.to_next(), bounds.filled), (2, 0));
        }
    }

    #[test]
    fn steps_to_the_next_boundary_never_cross_the_end_of_a_frame() {
        for length in [0, 5, 126, 70_000] {
            let (frame, mut bounds, mut at) = (frame(length), FrameBounds::default(), 0);
            while at < frame.len() {
                let step = bounds.to_next();
                assert!(step > 0 && at + step <= frame.len(), "{length}: {at} + {step}");
                bounds.advance(&frame[at..at + step]);
                at += step;
            }
        }
    }
}

//! The state of a stream at a client of the load: received messages and acknowledged own messages.
//!
//! Parses frames only as far as needed; independent of the transport.

use anyhow::{Context as _, bail, ensure};

/// The hello, the first frame of a transport, without framing.
pub(crate) fn hello(id: &str, number: u64, more: &str) -> String {
    format!(r#"{{"ver":2,"tnum":{number},"id":"{id}",{more}}}H"#)
}

/// Hello keys that create a stream and request streamed delivery.
pub(crate) const CREATE_STREAMED: &str =
    r#""new":true,"ming":true,"maxia":20,"seenack":"|-1","sack":"|-1","eeds":null"#;

/// The text of a SACK for `count` messages.
pub(crate) fn sack(count: u64) -> String {
    count.checked_sub(1).map_or_else(|| "|-1".into(), |last| format!("|{last}"))
}

/// Counters of a stream.
pub(crate) struct ReceiveState {
    /// Length of each message.
    bytes: usize,
    /// Received messages.
    pub(crate) messages: u64,
    /// Messages covered by a sent SACK.
    sacked: u64,
    /// Acknowledged own messages.
    pub(crate) acknowledged: u64,
    /// Whether the stream has been created.
    pub(crate) is_created: bool,
}

impl ReceiveState {
    /// Creates the state for messages of this length.
    pub(crate) fn new(bytes: usize) -> Self {
        Self { bytes, messages: 0, sacked: 0, acknowledged: 0, is_created: false }
    }

    /// The SACK frame to send, if messages arrived since the last one.
    pub(crate) fn due_sack(&mut self) -> Option<String> {
        let is_due = self.messages > self.sacked;
        self.sacked = self.messages;
        is_due.then(|| format!("{}A", sack(self.messages)))
    }

    /// Processes one frame without framing.
    ///
    /// # Errors
    /// If the frame is unexpected in a benchmark.
    pub(crate) fn frame(&mut self, frame: &[u8]) -> anyhow::Result<()> {
        let (kind, rest) = frame.split_last().context("an empty frame")?;
        match kind {
            b' ' if rest.len() == self.bytes => self.messages += 1,
            b'N' => {
                let next = number(rest);
                ensure!(
                    next == Some(self.messages),
                    "message {next:?} comes after {}",
                    self.messages
                );
            }
            b'A' => {
                let last = rest.rsplit(|byte| *byte == b'|').next().and_then(number);
                self.acknowledged = self.acknowledged.max(last.map_or(0, |last| last + 1));
            }
            b'C' => self.is_created = true,
            // The acknowledgement of SACKs; a comment.
            b'T' | b'^' => {}
            _ => bail!("unexpected frame from the server: {}", String::from_utf8_lossy(frame)),
        }
        Ok(())
    }
}

/// `None` also for the -1 of an empty SACK.
fn number(text: &[u8]) -> Option<u64> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_and_acknowledgements_are_counted() {
        let mut received = ReceiveState::new(2);
        for frame in [";)]}^", "C", "|-1A", "0N", "xx ", "xx ", "|4A", "|3A", "2N", "xx ", "|2T"] {
            received.frame(frame.as_bytes()).unwrap();
        }
        assert_eq!((received.messages, received.acknowledged, received.is_created), (3, 5, true));
    }

    #[test]
    fn unexpected_frames_are_errors() {
        for frame in ["", "x ", "xxx ", "1N", "N", "state lost|0!", "frame_corruptionK", "Y"] {
            assert!(ReceiveState::new(2).frame(frame.as_bytes()).is_err(), "{frame}");
        }
    }

    #[test]
    fn a_sack_has_the_number_of_the_last_message() {
        assert_eq!([0, 1, 8].map(sack), ["|-1", "|0", "|7"]);
    }
}

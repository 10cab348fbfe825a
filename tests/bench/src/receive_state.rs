//! What a client of the load knows of its stream: how many messages came, and which of its own are acknowledged. Looks at
//! frames only as far as a benchmark needs; knows nothing of what carries them.

use anyhow::{Context as _, bail, ensure};

/// The first frame of a transport, without what stands around it: the stream, the transport's number, and the other
/// keys.
pub(crate) fn hello(id: &str, number: u64, more: &str) -> String {
    format!(r#"{{"ver":2,"tnum":{number},"id":"{id}",{more}}}H"#)
}

/// The other keys of one that makes a stream, and is told messages as they come.
pub(crate) const MAKES_AND_STREAMS: &str =
    r#""new":true,"ming":true,"maxia":20,"seenack":"|-1","sack":"|-1","eeds":null"#;

/// A SACK's text, of so many messages.
pub(crate) fn sack(count: u64) -> String {
    count.checked_sub(1).map_or_else(|| "|-1".into(), |last| format!("|{last}"))
}

/// Counts.
pub(crate) struct ReceiveState {
    /// Length of each message.
    bytes: usize,
    /// Strings that came.
    pub(crate) messages: u64,
    /// Those of them that a SACK was sent for.
    sacked: u64,
    /// Own messages that are acknowledged.
    pub(crate) acknowledged: u64,
    /// Whether the stream is made.
    pub(crate) is_created: bool,
}

impl ReceiveState {
    /// On a stream of messages of so many bytes.
    pub(crate) fn new(bytes: usize) -> Self {
        Self { bytes, messages: 0, sacked: 0, acknowledged: 0, is_created: false }
    }

    /// The SACK's frame that is to be sent now, if messages came since the last one.
    pub(crate) fn due_sack(&mut self) -> Option<String> {
        let is_due = self.messages > self.sacked;
        self.sacked = self.messages;
        is_due.then(|| format!("{}A", sack(self.messages)))
    }

    /// Takes one frame, without what stands around it.
    ///
    /// # Errors
    /// If it is none that belongs into a benchmark.
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
            // What the server has heard of SACKs; a comment.
            b'T' | b'^' => {}
            _ => bail!("unexpected frame from the server: {}", String::from_utf8_lossy(frame)),
        }
        Ok(())
    }
}

/// `None` also for the -1 of a SACK of nothing.
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

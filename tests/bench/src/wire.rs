//! What a load generator says and hears on a WebSocket, as cheap as can be: in Minerva's protocol
//! (`docs/protocol.md`), or one string per message to the bare server.

use bytes::{BufMut as _, BytesMut};
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};

use crate::heard::{Heard, MAKES_AND_STREAMS, hello};

/// How strings travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// Frames of the protocol.
    Minerva,
    /// A message each.
    Bare,
}

/// One end's knowledge of a connection.
pub(crate) struct Wire {
    dialect: Dialect,
    /// The string, always the same.
    string: Utf8Bytes,
    heard: Heard,
}

impl Wire {
    /// Of strings of so many bytes.
    pub(crate) fn new(dialect: Dialect, bytes: usize) -> Self {
        let string = "x".repeat(bytes).into();
        Self { dialect, string, heard: Heard::new(bytes) }
    }

    /// Whether streams begin with a hello.
    pub(crate) fn has_hello(&self) -> bool {
        self.dialect == Dialect::Minerva
    }

    /// The first message, if there is one.
    pub(crate) fn hello(&self, id: &str) -> Option<Message> {
        self.has_hello().then(|| Message::text(hello(id, 0, MAKES_AND_STREAMS) + "\n"))
    }

    /// Messages with so many strings, and what else is due.
    pub(crate) fn messages(&mut self, count: usize) -> Vec<Message> {
        match self.dialect {
            Dialect::Bare => vec![Message::Text(self.string.clone()); count],
            Dialect::Minerva => {
                let mut text = BytesMut::with_capacity(count * (self.string.len() + 2) + 32);
                if let Some(sack) = self.heard.due_sack() {
                    text.extend_from_slice(sack.as_bytes());
                    text.put_u8(b'\n');
                }
                for _ in 0..count {
                    text.extend_from_slice(self.string.as_bytes());
                    text.put_slice(b" \n");
                }
                // Everything in it is ASCII.
                vec![Message::Text(Utf8Bytes::try_from(text.freeze()).unwrap_or_default())]
            }
        }
    }

    /// How many strings a message brought.
    ///
    /// # Errors
    /// If it is none that belongs into a benchmark.
    pub(crate) fn hear(&mut self, message: &Message) -> anyhow::Result<usize> {
        let Message::Text(text) = message else { return Ok(0) };
        if self.dialect == Dialect::Bare {
            return Ok(usize::from(*text == self.string));
        }
        let before = self.heard.messages;
        for frame in text.lines() {
            self.heard.frame(frame.as_bytes())?;
        }
        Ok((self.heard.messages - before) as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_travel_with_the_sack_of_those_received() {
        let mut wire = Wire::new(Dialect::Minerva, 2);
        assert_eq!(wire.messages(2), [Message::text("xx \nxx \n")]);
        let heard = wire.hear(&Message::text("C\n|1A\n0N\nxx \nxx \nbeat^\n")).unwrap();
        assert_eq!(heard, 2);
        assert_eq!(wire.messages(1), [Message::text("|1A\nxx \n")]);
        assert_eq!(wire.messages(1), [Message::text("xx \n")]);
        assert!(wire.hear(&Message::text("state lost|0!\n")).is_err());
        assert!(wire.hear(&Message::text("x \n")).is_err());
    }

    #[test]
    fn bare_strings_are_messages() {
        let mut wire = Wire::new(Dialect::Bare, 2);
        assert!(wire.hello("id").is_none());
        assert_eq!(wire.messages(2), [Message::text("xx"), Message::text("xx")]);
        assert_eq!(wire.hear(&Message::text("xx")).unwrap(), 1);
    }
}

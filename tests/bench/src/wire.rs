//! The WebSocket wire format of the load, optimised for low cost: frames of Minerva's protocol (`docs/protocol.md`), or
//! one WebSocket message per payload for the bare server.

use bytes::{BufMut as _, BytesMut};
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};

use crate::receive_state::{CREATE_STREAMED, ReceiveState, hello};

/// The format of messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// Frames of the protocol.
    Minerva,
    /// One WebSocket message per payload.
    Bare,
}

/// Wire state of one connection.
pub(crate) struct Wire {
    dialect: Dialect,
    /// The constant payload.
    payload: Utf8Bytes,
    received: ReceiveState,
}

impl Wire {
    /// Creates the state for payloads of this length.
    pub(crate) fn new(dialect: Dialect, bytes: usize) -> Self {
        let payload = "x".repeat(bytes).into();
        Self { dialect, payload, received: ReceiveState::new(bytes) }
    }

    /// Whether the dialect has a hello.
    pub(crate) fn has_hello(&self) -> bool {
        self.dialect == Dialect::Minerva
    }

    /// The hello, if the dialect has one.
    pub(crate) fn hello(&self, id: &str) -> Option<Message> {
        self.has_hello().then(|| Message::text(hello(id, 0, CREATE_STREAMED) + "\n"))
    }

    /// WebSocket messages with this number of payloads, and a due SACK.
    pub(crate) fn outgoing(&mut self, count: usize) -> Vec<Message> {
        match self.dialect {
            Dialect::Bare => vec![Message::Text(self.payload.clone()); count],
            Dialect::Minerva => {
                let mut text = BytesMut::with_capacity(count * (self.payload.len() + 2) + 32);
                if let Some(sack) = self.received.due_sack() {
                    text.extend_from_slice(sack.as_bytes());
                    text.put_u8(b'\n');
                }
                for _ in 0..count {
                    text.extend_from_slice(self.payload.as_bytes());
                    text.put_slice(b" \n");
                }
                // The text is ASCII.
                vec![Message::Text(Utf8Bytes::try_from(text.freeze()).unwrap_or_default())]
            }
        }
    }

    /// Parses a WebSocket message and returns the number of payloads.
    ///
    /// # Errors
    /// If a frame is unexpected in a benchmark.
    pub(crate) fn receive(&mut self, message: &Message) -> anyhow::Result<usize> {
        let Message::Text(text) = message else { return Ok(0) };
        if self.dialect == Dialect::Bare {
            return Ok(usize::from(*text == self.payload));
        }
        let before = self.received.messages;
        for frame in text.lines() {
            self.received.frame(frame.as_bytes())?;
        }
        Ok((self.received.messages - before) as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sack_precedes_the_messages() {
        let mut wire = Wire::new(Dialect::Minerva, 2);
        assert_eq!(wire.outgoing(2), [Message::text("xx \nxx \n")]);
        let received = wire.receive(&Message::text("C\n|1A\n0N\nxx \nxx \nbeat^\n")).unwrap();
        assert_eq!(received, 2);
        assert_eq!(wire.outgoing(1), [Message::text("|1A\nxx \n")]);
        assert_eq!(wire.outgoing(1), [Message::text("xx \n")]);
        assert!(wire.receive(&Message::text("state lost|0!\n")).is_err());
        assert!(wire.receive(&Message::text("x \n")).is_err());
    }

    #[test]
    fn a_bare_message_is_one_websocket_message() {
        let mut wire = Wire::new(Dialect::Bare, 2);
        assert!(wire.hello("id").is_none());
        assert_eq!(wire.outgoing(2), [Message::text("xx"), Message::text("xx")]);
        assert_eq!(wire.receive(&Message::text("xx")).unwrap(), 1);
    }
}

//! What a load generator says and hears on a WebSocket, as cheap as can be: in Minerva's protocol
//! (`docs/protocol.md`), or one message per message to the bare server.

use bytes::{BufMut as _, BytesMut};
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};

use crate::receive_state::{MAKES_AND_STREAMS, ReceiveState, hello};

/// How messages travel.
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
    /// The message, always the same.
    payload: Utf8Bytes,
    received: ReceiveState,
}

impl Wire {
    /// Of messages of so many bytes.
    pub(crate) fn new(dialect: Dialect, bytes: usize) -> Self {
        let payload = "x".repeat(bytes).into();
        Self { dialect, payload, received: ReceiveState::new(bytes) }
    }

    /// Whether streams begin with a hello.
    pub(crate) fn has_hello(&self) -> bool {
        self.dialect == Dialect::Minerva
    }

    /// The first message, if there is one.
    pub(crate) fn hello(&self, id: &str) -> Option<Message> {
        self.has_hello().then(|| Message::text(hello(id, 0, MAKES_AND_STREAMS) + "\n"))
    }

    /// Messages with so many messages, and what else is due.
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
                // Everything in it is ASCII.
                vec![Message::Text(Utf8Bytes::try_from(text.freeze()).unwrap_or_default())]
            }
        }
    }

    /// How many messages a message brought.
    ///
    /// # Errors
    /// If it is none that belongs into a benchmark.
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

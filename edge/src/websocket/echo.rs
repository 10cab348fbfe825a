//! Sends every message back, so that a WebSocket test suite can examine the driver. Behind the feature `echo`, which no
//! program of a deployment enables. Used by `websocket.rs`.

use std::str::Utf8Error;

use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

use super::handler::MessageHandler;
use crate::transport::Input;

/// The message that is being sent back; the next one is read after its end.
#[derive(Debug, Default)]
pub(super) struct Echo {
    reply: Option<Message>,
    finished: bool,
}

impl MessageHandler for Echo {
    fn is_finished(&self) -> bool {
        self.finished
    }

    fn wants_input(&self) -> bool {
        self.reply.is_none()
    }

    fn message(&self) -> Result<Option<Message>, Utf8Error> {
        Ok(self.reply.clone())
    }

    fn received(&mut self, message: Message) -> Option<CloseCode> {
        self.reply = Some(message);
        None
    }

    fn input(&mut self, input: Input) {
        // The driver permits the next step of a long message; all other events end the connection.
        self.finished |= !matches!(input, Input::Partial(_));
    }

    fn written(&mut self) {
        self.reply = None;
    }

    async fn wait(&mut self) {
        std::future::pending().await
    }
}

//! The user of a WebSocket as its driver (`websocket.rs`) sees it: a session, or the echo of protocol tests.

use std::str::Utf8Error;

use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};

use super::handshake::close_frame;
use crate::session::Session;
use crate::transport::Input;

/// Receives the messages of one WebSocket and provides those to send.
pub(super) trait MessageHandler: Send + 'static {
    /// Whether the driver must close the WebSocket.
    fn is_finished(&self) -> bool;

    /// Whether the driver may read.
    fn wants_input(&self) -> bool;

    /// The next message to send. An error ends the connection.
    fn message(&self) -> Result<Option<Message>, Utf8Error>;

    /// A text or binary message has been received. Returns the code for the close frame if the message is refused.
    fn received(&mut self, message: Message) -> Option<CloseCode>;

    /// The close frame of a refusal that was written.
    fn close_frame(&self) -> Option<CloseFrame> {
        None
    }

    /// Any other event of the socket.
    fn input(&mut self, input: Input);

    /// The message of `message` has been written.
    fn written(&mut self);

    /// Waits for an event that does not come from the socket, and handles the event. Cancel safe.
    fn wait(&mut self) -> impl Future<Output = ()> + Send;
}

impl MessageHandler for Session {
    fn is_finished(&self) -> bool {
        self.ending().is_some() || self.is_over()
    }

    fn wants_input(&self) -> bool {
        self.wants_input()
    }

    fn message(&self) -> Result<Option<Message>, Utf8Error> {
        if self.is_version_3() {
            return Ok(self.chunk().cloned().map(Message::Binary));
        }
        let text = self.chunk().cloned().map(Utf8Bytes::try_from).transpose()?;
        Ok(text.map(Message::Text))
    }

    fn received(&mut self, message: Message) -> Option<CloseCode> {
        if let (Message::Binary(_), true) | (Message::Text(_), false) =
            (&message, self.is_version_3())
        {
            self.received(message.into_data(), false);
            return None;
        }
        self.input(Input::Garbled);
        Some(CloseCode::Unsupported)
    }

    fn close_frame(&self) -> Option<CloseFrame> {
        self.refusal().map(close_frame)
    }

    fn input(&mut self, input: Input) {
        self.input(input);
    }

    fn written(&mut self) {
        self.written();
    }

    fn wait(&mut self) -> impl Future<Output = ()> + Send {
        self.wait()
    }
}

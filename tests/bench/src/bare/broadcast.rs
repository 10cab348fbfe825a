//! Broadcast of one connection's messages to all others.
//!
//! One task per connection, which flushes pending messages together. A connection that has sent a message no longer
//! receives any.

use anyhow::Context as _;
use futures_util::{SinkExt as _, StreamExt as _};
use tokio::net::TcpStream;
use tokio::sync::broadcast::{self, Receiver};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

/// Messages that a slow connection may lag behind before it is dropped, similar to the capacity of an outbox.
const MAX_LAG: usize = 1024;

#[derive(Clone)]
pub(super) struct Broadcast(broadcast::Sender<Message>);

impl Broadcast {
    pub(super) fn new() -> Self {
        Self(broadcast::Sender::new(MAX_LAG))
    }

    /// Serves one connection to the end.
    ///
    /// # Errors
    /// If the connection fails or lags too far behind.
    pub(super) async fn serve(&self, socket: TcpStream) -> anyhow::Result<()> {
        socket.set_nodelay(true)?;
        // Before the handshake, so that a connected client misses no message.
        let messages = self.0.subscribe();
        let mut socket = tokio_tungstenite::accept_async(socket).await?;
        let mut incoming = forward(&mut socket, messages).await?;
        loop {
            if incoming.is_text() {
                // There may be no subscriber.
                let _ = self.0.send(incoming);
            }
            incoming = socket.next().await.context("the client closed")??;
        }
    }
}

/// Forwards broadcast messages until the connection sends a message itself.
async fn forward(
    socket: &mut WebSocketStream<TcpStream>,
    mut messages: Receiver<Message>,
) -> anyhow::Result<Message> {
    loop {
        tokio::select! {
            incoming = socket.next() => return Ok(incoming.context("the client closed")??),
            message = messages.recv() => {
                socket.feed(message?).await?;
                while let Ok(more) = messages.try_recv() {
                    socket.feed(more).await?;
                }
                socket.flush().await?;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn a_message_reaches_all_connections_except_its_sender() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let broadcast = Broadcast::new();
        let serving = broadcast.clone();
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let broadcast = serving.clone();
                tokio::spawn(async move { broadcast.serve(socket).await });
            }
        });
        let mut sockets = Vec::new();
        for _ in 0..3 {
            let socket = TcpStream::connect(address).await.unwrap();
            let url = format!("ws://{address}/");
            sockets.push(tokio_tungstenite::client_async(url, socket).await.unwrap().0);
        }
        let mut sender = sockets.pop().unwrap();
        for text in ["one", "two"] {
            sender.send(Message::text(text)).await.unwrap();
        }
        for listener in &mut sockets {
            for text in ["one", "two"] {
                assert_eq!(listener.next().await.unwrap().unwrap(), Message::text(text));
            }
        }
        // A message to the sender would precede the response to the close.
        sender.send(Message::Close(None)).await.unwrap();
        let received = sender.next().await.unwrap().unwrap();
        assert!(received.is_close(), "{received}");
    }
}

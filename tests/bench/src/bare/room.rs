//! All connections of a bare server that hear what one of them says. A task each, as in any server: what is there
//! goes out in one write. Who has spoken once hears nothing any more.

use anyhow::Context as _;
use futures_util::{SinkExt as _, StreamExt as _};
use tokio::net::TcpStream;
use tokio::sync::broadcast::{self, Receiver};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

/// Messages that a slow connection may be behind before it is dropped: about as many strings as an outbox holds.
const BEHIND: usize = 1024;

#[derive(Clone)]
pub(super) struct Room(broadcast::Sender<Message>);

impl Room {
    pub(super) fn new() -> Self {
        Self(broadcast::Sender::new(BEHIND))
    }

    /// Serves one connection until it is closed.
    ///
    /// # Errors
    /// If the connection fails, or it is too far behind.
    pub(super) async fn serve(&self, socket: TcpStream) -> anyhow::Result<()> {
        socket.set_nodelay(true)?;
        // Before the client knows that it is there: it hears all that is said from then on.
        let said = self.0.subscribe();
        let mut socket = tokio_tungstenite::accept_async(socket).await?;
        let mut spoken = listen(&mut socket, said).await?;
        loop {
            if spoken.is_text() {
                // Nobody may be there to hear it.
                let _ = self.0.send(spoken);
            }
            spoken = socket.next().await.context("the client closed")??;
        }
    }
}

/// Writes what is said, until the connection says something itself.
async fn listen(
    socket: &mut WebSocketStream<TcpStream>,
    mut said: Receiver<Message>,
) -> anyhow::Result<Message> {
    loop {
        tokio::select! {
            spoken = socket.next() => return Ok(spoken.context("the client closed")??),
            message = said.recv() => {
                socket.feed(message?).await?;
                while let Ok(more) = said.try_recv() {
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
    async fn all_hear_what_one_says_but_the_one_who_says_it() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let room = Room::new();
        let serving = room.clone();
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let room = serving.clone();
                tokio::spawn(async move { room.serve(socket).await });
            }
        });
        let mut sockets = Vec::new();
        for _ in 0..3 {
            let socket = TcpStream::connect(address).await.unwrap();
            let url = format!("ws://{address}/");
            sockets.push(tokio_tungstenite::client_async(url, socket).await.unwrap().0);
        }
        let mut speaker = sockets.pop().unwrap();
        for text in ["one", "two"] {
            speaker.send(Message::text(text)).await.unwrap();
        }
        for listener in &mut sockets {
            for text in ["one", "two"] {
                assert_eq!(listener.next().await.unwrap().unwrap(), Message::text(text));
            }
        }
        // What was said to it would come before the answer to this.
        speaker.send(Message::Close(None)).await.unwrap();
        let heard = speaker.next().await.unwrap().unwrap();
        assert!(heard.is_close(), "{heard}");
    }
}

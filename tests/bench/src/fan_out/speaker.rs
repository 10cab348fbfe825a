//! Who says a string to all: an application by a group send, or one more connection to the bare server.

use anyhow::ensure;
use futures_util::SinkExt as _;
use minerva_app::Streams;
use tokio_tungstenite::tungstenite::Message;

use super::{Shape, group};
use crate::echo::GROUP;
use crate::socket::Socket;
use crate::stage::Stage;
use crate::wire::Dialect;

pub(super) enum Speaker {
    Group {
        streams: Streams,
        string: String,
        /// How many are to take each string.
        listeners: u64,
    },
    Bare {
        socket: Box<Socket>,
        message: Message,
    },
}

impl Speaker {
    /// Made when all listeners are there.
    pub(super) async fn new(dialect: Dialect, stage: &Stage, shape: Shape) -> anyhow::Result<Self> {
        let string = "x".repeat(shape.bytes);
        if dialect == Dialect::Bare {
            let socket = Box::new(Socket::open(dialect, stage.bare, shape.bytes).await?);
            return Ok(Self::Bare { socket, message: Message::text(string) });
        }
        let (streams, listeners) = (Streams::at(stage.api())?, shape.streams as u64);
        group::all_joined(&streams, listeners).await?;
        Ok(Self::Group { streams, string, listeners })
    }

    /// Says the string to all.
    pub(super) async fn say(&mut self) -> anyhow::Result<()> {
        match self {
            Self::Bare { socket, message } => socket.stream.send(message.clone()).await?,
            Self::Group { streams, string, listeners } => {
                let sent = streams.send_to_group("default", GROUP, [string.clone()]).await?;
                ensure!(sent.taken == *listeners, "a stream did not take it: {sent:?}");
            }
        }
        Ok(())
    }
}

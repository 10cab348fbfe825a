//! Who says a string to all: an application by a group send, or one more connection to the bare server.

use anyhow::{Context as _, ensure};
use futures_util::SinkExt as _;
use minerva_app::Streams;
use tokio::task::JoinSet;
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
        /// Calls that are not answered; the pace bounds them.
        under_way: JoinSet<anyhow::Result<()>>,
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
        Ok(Self::Group { streams, string, listeners, under_way: JoinSet::new() })
    }

    /// Says the string to all; does not wait until the calls before are answered.
    ///
    /// # Errors
    /// If this fails, or a call before has.
    pub(super) async fn say(&mut self) -> anyhow::Result<()> {
        match self {
            Self::Bare { socket, message } => socket.stream.send(message.clone()).await?,
            Self::Group { streams, string, listeners, under_way } => {
                while let Some(answered) = under_way.try_join_next() {
                    answered.context("a call's task failed")??;
                }
                under_way.spawn(send(streams.clone(), string.clone(), *listeners));
            }
        }
        Ok(())
    }

    /// Waits for all answers.
    pub(super) async fn settle(&mut self) -> anyhow::Result<()> {
        let Self::Group { under_way, .. } = self else { return Ok(()) };
        while let Some(answered) = under_way.join_next().await {
            answered.context("a call's task failed")??;
        }
        Ok(())
    }
}

async fn send(streams: Streams, string: String, listeners: u64) -> anyhow::Result<()> {
    let sent = streams.send_to_group("default", GROUP, [string]).await?;
    ensure!(sent.taken == listeners, "a stream did not take it: {sent:?}");
    Ok(())
}

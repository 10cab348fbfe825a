//! The sender of a fan-out: an application with group sends, or a connection to the bare server.

use anyhow::{Context as _, ensure};
use futures_util::SinkExt as _;
use minerva_app::Streams;
use tokio::task::JoinSet;
use tokio_tungstenite::tungstenite::Message;

use super::group;
use super::shape::Shape;
use crate::echo::GROUP;
use crate::socket::Socket;
use crate::test_bed::TestBed;
use crate::wire::Dialect;

pub(super) enum GroupSender {
    Group {
        streams: Streams,
        payload: String,
        /// Expected receivers of each message.
        receivers: u64,
        /// Calls in flight, bounded by the pacer.
        in_flight: JoinSet<anyhow::Result<()>>,
    },
    Bare {
        socket: Box<Socket>,
        message: Message,
    },
}

impl GroupSender {
    /// Creates a sender; all receivers must be connected.
    pub(super) async fn new(
        dialect: Dialect,
        test_bed: &TestBed,
        shape: Shape,
    ) -> anyhow::Result<Self> {
        let payload = "x".repeat(shape.bytes);
        if dialect == Dialect::Bare {
            let socket = Box::new(Socket::open(dialect, test_bed.bare, shape.bytes).await?);
            return Ok(Self::Bare { socket, message: Message::text(payload) });
        }
        let (streams, receivers) = (Streams::at(test_bed.api())?, shape.streams as u64);
        group::all_joined(&streams, receivers).await?;
        Ok(Self::Group { streams, payload, receivers, in_flight: JoinSet::new() })
    }

    /// Sends the message to all receivers without waiting for earlier calls.
    ///
    /// # Errors
    /// If this send or an earlier call failed.
    pub(super) async fn send(&mut self) -> anyhow::Result<()> {
        match self {
            Self::Bare { socket, message } => socket.stream.send(message.clone()).await?,
            Self::Group { streams, payload, receivers, in_flight } => {
                while let Some(answered) = in_flight.try_join_next() {
                    answered.context("a call's task failed")??;
                }
                in_flight.spawn(send(streams.clone(), payload.clone(), *receivers));
            }
        }
        Ok(())
    }

    /// Waits for all calls in flight.
    pub(super) async fn finish_calls(&mut self) -> anyhow::Result<()> {
        let Self::Group { in_flight, .. } = self else { return Ok(()) };
        while let Some(answered) = in_flight.join_next().await {
            answered.context("a call's task failed")??;
        }
        Ok(())
    }
}

async fn send(streams: Streams, payload: String, receivers: u64) -> anyhow::Result<()> {
    let sent = streams.send_to_group("default", GROUP, [payload]).await?;
    ensure!(sent.taken == receivers, "a stream did not accept the message: {sent:?}");
    Ok(())
}

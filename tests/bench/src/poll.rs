//! A long-poll held by the server: one request creates the stream, a second one waits for messages that never arrive.

use std::net::SocketAddr;

use anyhow::{Context as _, ensure};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::http::request;
use crate::receive_state::hello;
use crate::socket::{connect, random_id};

/// Hello keys of both transports.
const POLLS: &str = r#""ming":false,"maxia":0,"seenack":"|-1""#;

/// A held long-poll; dropping the value closes the connection.
pub(crate) struct Poll(TcpStream);

impl Poll {
    /// Creates a stream and polls for its messages.
    pub(crate) async fn open(address: SocketAddr) -> anyhow::Result<Self> {
        let id = random_id();
        let mut making = connect(address).await?;
        let makes = hello(&id, 0, &format!(r#"{POLLS},"new":true"#)) + "\n";
        making.write_all(request(address, "close", &makes).as_bytes()).await?;
        let mut answer = String::new();
        making.read_to_string(&mut answer).await.context("no response to a long-poll")?;
        let is_made = answer.lines().any(|frame| frame == "C");
        ensure!(is_made, "no stream was created: {answer}");
        let mut holding = connect(address).await?;
        let polls = hello(&id, 1, &format!(r#"{POLLS},"eeds":null"#)) + "\n";
        holding.write_all(request(address, "keep-alive", &polls).as_bytes()).await?;
        Ok(Self(holding))
    }

    /// Checks that the server has sent nothing.
    pub(crate) fn check(&self) -> anyhow::Result<()> {
        let mut byte = [0];
        let is_silent =
            self.0.try_read(&mut byte).is_err_and(|e| e.kind() == std::io::ErrorKind::WouldBlock);
        ensure!(is_silent, "an idle long-poll received a response");
        Ok(())
    }
}

//! A long-poll that the server holds, written by hand: the first request makes the stream, the second one waits for
//! messages that never come.

use std::net::SocketAddr;

use anyhow::{Context as _, ensure};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::http::request;
use crate::receive_state::hello;
use crate::socket::{connect, random_id};

/// What both transports ask for.
const POLLS: &str = r#""ming":false,"maxia":0,"seenack":"|-1""#;

/// A held one; it ends when this is dropped.
pub(crate) struct Poll(TcpStream);

impl Poll {
    /// Makes a stream and asks for its messages.
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
        let asks = hello(&id, 1, &format!(r#"{POLLS},"eeds":null"#)) + "\n";
        holding.write_all(request(address, "keep-alive", &asks).as_bytes()).await?;
        Ok(Self(holding))
    }

    /// An error if the server has said something.
    pub(crate) fn check(&self) -> anyhow::Result<()> {
        let mut byte = [0];
        let is_silent =
            self.0.try_read(&mut byte).is_err_and(|e| e.kind() == std::io::ErrorKind::WouldBlock);
        ensure!(is_silent, "an idle long-poll received a response");
        Ok(())
    }
}

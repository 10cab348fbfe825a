//! A long-poll that the server holds, written by hand: the first request makes the stream, the second one waits for
//! strings that never come.

use std::net::SocketAddr;

use anyhow::{Context as _, ensure};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::socket::{connect, random_id};

/// A held one; it ends when this is dropped.
pub(crate) struct Poll(TcpStream);

impl Poll {
    /// Makes a stream and asks for its strings.
    pub(crate) async fn open(address: SocketAddr) -> anyhow::Result<Self> {
        let id = random_id();
        let mut making = connect(address).await?;
        let hello = hello(&id, 0, r#""new":true"#);
        making.write_all(request(address, "close", &hello).as_bytes()).await?;
        let mut answer = String::new();
        making.read_to_string(&mut answer).await.context("no answer to a long-poll")?;
        let is_made = answer.lines().any(|frame| frame == "C");
        ensure!(is_made, "no stream was made: {answer}");
        let mut holding = connect(address).await?;
        let hello = self::hello(&id, 1, r#""eeds":null"#);
        holding.write_all(request(address, "keep-alive", &hello).as_bytes()).await?;
        Ok(Self(holding))
    }

    /// An error if the server has said something.
    pub(crate) fn check(&self) -> anyhow::Result<()> {
        let mut byte = [0];
        let is_silent =
            self.0.try_read(&mut byte).is_err_and(|e| e.kind() == std::io::ErrorKind::WouldBlock);
        ensure!(is_silent, "a long-poll was answered that nothing was to be said to");
        Ok(())
    }
}

fn hello(id: &str, number: u32, more: &str) -> String {
    format!(
        r#"{{"ver":2,"tnum":{number},"id":"{id}","ming":false,"maxia":0,"seenack":"|-1",{more}}}H{}"#,
        "\n"
    )
}

fn request(address: SocketAddr, connection: &str, body: &str) -> String {
    format!(
        "POST /_minerva/io/ HTTP/1.1\r\nhost: {address}\r\nconnection: {connection}\r\n\
         content-type: application/octet-stream\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_says_how_long_it_is() {
        let hello = hello("bench-00000000000000000001", 1, r#""eeds":null"#);
        assert!(hello.ends_with("\"eeds\":null}H\n"));
        let request = request(([127, 0, 0, 1], 80).into(), "close", &hello);
        assert!(request.contains(&format!("content-length: {}\r\n\r\n{{", hello.len())));
    }
}

//! A client for the metrics page of a process.

use std::net::SocketAddr;

use anyhow::Context as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// Reads the value of a metric, whose name includes its labels.
///
/// # Errors
/// If the process is unreachable or has no such metric.
pub(crate) async fn figure(admin: SocketAddr, name: &str) -> anyhow::Result<f64> {
    let mut socket = TcpStream::connect(admin).await.context("no metrics")?;
    socket
        .write_all(b"GET /metrics HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n")
        .await?;
    let mut text = String::new();
    socket.read_to_string(&mut text).await.context("no metrics")?;
    let mut lines = text.lines().filter_map(|line| line.split_once(' '));
    let figure = lines.find(|(key, _)| *key == name);
    figure.and_then(|(_, value)| value.parse().ok()).with_context(|| format!("no {name}"))
}

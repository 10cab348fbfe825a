//! Queries of the admin port of a process.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

const TIMEOUT: Duration = Duration::from_secs(5);

/// The whole HTTP response for a path.
///
/// # Errors
/// If the process does not respond in time.
pub(crate) async fn get(admin: SocketAddr, path: &str) -> anyhow::Result<String> {
    let query = async {
        let mut socket = TcpStream::connect(admin).await?;
        let request = format!("GET {path} HTTP/1.1\r\nHost: admin\r\nConnection: close\r\n\r\n");
        socket.write_all(request.as_bytes()).await?;
        let mut response = String::new();
        socket.read_to_string(&mut response).await?;
        anyhow::Ok(response)
    };
    timeout(TIMEOUT, query).await.with_context(|| format!("the admin port {admin} hangs"))?
}

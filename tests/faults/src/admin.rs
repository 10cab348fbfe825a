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
        let request =
            format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n");
        socket.write_all(request.as_bytes()).await?;
        let mut response = String::new();
        socket.read_to_string(&mut response).await?;
        anyhow::Ok(response)
    };
    timeout(TIMEOUT, query).await.with_context(|| format!("the admin port {admin} hangs"))?
}

/// The value of a metric without labels.
pub(crate) fn metric(response: &str, name: &str) -> Option<u64> {
    let mut lines = response.lines().filter_map(|line| line.split_once(' '));
    lines.find(|(key, _)| *key == name)?.1.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_metric_is_matched_by_its_full_name() {
        let response =
            "HTTP/1.1 200 OK\r\n\r\n# TYPE lost counter\nlost_total_a 3\nlost_total 17\n";
        assert_eq!(metric(response, "lost_total"), Some(17));
        assert_eq!(metric(response, "lost"), None);
    }
}

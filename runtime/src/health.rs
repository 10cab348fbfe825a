//! The subcommand `health`, for the health checks of containers: a second process asks the first one's admin
//! port whether it can do its work. The same for every program; called by each `main.rs`.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Time for the whole answer; less than any health check's own.
const ANSWER_TIME: Duration = Duration::from_secs(2);

/// Bytes of an answer that are read; it is one line behind a short head.
const ANSWER: u64 = 16 * 1024;

/// What a program can do instead of serving.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::Subcommand)]
pub enum Task {
    /// Ask the process that serves at --admin whether it can do its work; exit with 0 if so, else with 1.
    Health,
    /// Check this machine, and a core's store, and say what to change, one line per check; exit with 1 if
    /// something will not do.
    Doctor,
}

/// Why a process is not healthy.
#[derive(Debug, thiserror::Error)]
pub enum HealthError {
    /// Nobody answers.
    #[error("no answer from {0}")]
    Unreachable(SocketAddr, #[source] io::Error),
    /// It says that it cannot do its work, and why.
    #[error("not ready: {0}")]
    NotReady(String),
}

/// Asks the process whose admin port is `admin`, on this machine.
///
/// # Errors
/// If it does not answer, or says that it is not ready.
pub async fn health(admin: SocketAddr) -> Result<(), HealthError> {
    let admin = reachable(admin);
    let answer = tokio::time::timeout(ANSWER_TIME, ask(admin)).await;
    let answer = answer
        .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
        .map_err(|error| HealthError::Unreachable(admin, error))?;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    if head.split(' ').nth(1) == Some("200") {
        return Ok(());
    }
    Err(HealthError::NotReady(body.trim().to_owned()))
}

async fn ask(admin: SocketAddr) -> io::Result<String> {
    let mut stream = TcpStream::connect(admin).await?;
    let request = format!("GET /readyz HTTP/1.1\r\nHost: {admin}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.take(ANSWER).read_to_end(&mut answer).await?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

/// Loopback, where the process listens on all addresses.
fn reachable(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(match address {
            SocketAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            SocketAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        });
    }
    address
}

#[cfg(test)]
mod tests {
    use prometheus_client::registry::Registry;

    use super::*;
    use crate::admin::{Admin, Readiness};

    #[tokio::test]
    async fn a_process_is_healthy_while_it_is_ready() {
        let admin = Admin::bind(SocketAddr::from(([0, 0, 0, 0], 0))).await.unwrap();
        let address = admin.local_addr().unwrap();
        let readiness = Readiness::starting();
        tokio::spawn(admin.serve(readiness.clone(), Registry::default()));
        let error = health(address).await.unwrap_err();
        assert_eq!(error.to_string(), "not ready: starting");
        readiness.set_ready();
        assert!(health(address).await.is_ok());
        readiness.set_unready("draining");
        assert_eq!(health(address).await.unwrap_err().to_string(), "not ready: draining");
    }

    #[tokio::test]
    async fn a_process_that_is_not_there_or_silent_is_not_healthy() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        assert!(matches!(health(address).await, Err(HealthError::Unreachable(..))), "silent");
        drop(listener);
        assert!(matches!(health(address).await, Err(HealthError::Unreachable(..))), "gone");
    }
}

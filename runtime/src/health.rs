//! The subcommand `health`, for health checks of containers: a second process queries `/readyz` at the admin port of
//! the serving process. Called by each `main.rs`.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Time limit of the whole request; shorter than the time limits of common health checks.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(2);

/// Limit of the response length, in bytes; a response is one line after a short head.
const MAX_RESPONSE: u64 = 16 * 1024;

/// Subcommands of a program; without one the program serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::Subcommand)]
pub enum Subcommand {
    /// Query the readiness of the process that serves at --admin; exit with 0 if ready, else with 1.
    Health,
    /// Check this machine and the store of a core, and print findings and fixes, one line per check; exit with 1 if a
    /// check fails.
    Doctor,
}

/// The process is not healthy.
#[derive(Debug, thiserror::Error)]
pub enum HealthError {
    /// The admin port does not answer in time.
    #[error("no answer from {0}")]
    Unreachable(SocketAddr, #[source] io::Error),
    /// The process is unready, for this reason.
    #[error("not ready: {0}")]
    NotReady(String),
}

/// Queries the readiness of the process with the admin port `admin` on this machine.
///
/// # Errors
/// If the process does not answer or is not ready.
pub async fn health(admin: SocketAddr) -> Result<(), HealthError> {
    let admin = reachable(admin);
    let response = tokio::time::timeout(REQUEST_TIMEOUT, request(admin)).await;
    let response = response
        .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
        .map_err(|error| HealthError::Unreachable(admin, error))?;
    let (head, body) = response.split_once("\r\n\r\n").unwrap_or((&response, ""));
    if head.split(' ').nth(1) == Some("200") {
        return Ok(());
    }
    Err(HealthError::NotReady(body.trim().to_owned()))
}

async fn request(admin: SocketAddr) -> io::Result<String> {
    let mut stream = TcpStream::connect(admin).await?;
    let request = format!("GET /readyz HTTP/1.1\r\nHost: {admin}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut response = Vec::new();
    stream.take(MAX_RESPONSE).read_to_end(&mut response).await?;
    Ok(String::from_utf8_lossy(&response).into_owned())
}

/// Replaces the unspecified address, on which the process may listen, by loopback.
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
    async fn an_unreachable_or_silent_process_is_not_healthy() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        assert!(matches!(health(address).await, Err(HealthError::Unreachable(..))), "silent");
        drop(listener);
        assert!(matches!(health(address).await, Err(HealthError::Unreachable(..))), "gone");
    }
}

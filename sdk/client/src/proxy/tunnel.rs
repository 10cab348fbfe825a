//! The request for a tunnel: `CONNECT` with basic authentication (RFC 9110, section 9.3.6). Called by `connection.rs`.

use minerva_runtime::dial::{self, DialError};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::{HostPort, Proxy};
use crate::clock::{ATTEMPT_TIMEOUT, CONNECT_TIMEOUT};

/// Longest response head in bytes.
const MAX_HEAD: usize = 16 << 10;

/// Failure of a connection through a proxy.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProxyError {
    #[error("the proxy {proxy} is not reachable: {error}")]
    Dial { proxy: String, error: DialError },
    #[error("the connection to the proxy {proxy} failed: {error}")]
    Io { proxy: String, error: std::io::Error },
    #[error("the proxy {proxy} did not answer within {} s", CONNECT_TIMEOUT.as_secs())]
    Timeout { proxy: String },
    #[error("the proxy {proxy} answered without HTTP: {answer:?}")]
    NotHttp { proxy: String, answer: String },
    #[error("the proxy {proxy} refused the tunnel to {target}: {status}{hint}")]
    Refused { proxy: String, target: String, status: String, hint: String },
}

impl Proxy {
    /// Connects to the proxy and requests a tunnel to the server.
    pub(crate) async fn connect(&self, host: &str, port: u16) -> Result<TcpStream, ProxyError> {
        let proxy = self.to_string();
        let socket = dial::connect(&self.host, self.port, ATTEMPT_TIMEOUT).await;
        let mut socket = match socket {
            Ok(socket) => socket,
            Err(error) => return Err(ProxyError::Dial { proxy, error }),
        };
        let target = HostPort(host, port).to_string();
        let head = match timeout(CONNECT_TIMEOUT, self.request(&mut socket, &target)).await {
            Ok(Ok(head)) => head,
            Ok(Err(error)) => return Err(ProxyError::Io { proxy, error }),
            Err(_) => return Err(ProxyError::Timeout { proxy }),
        };
        self.check(&head, target).map(|()| socket)
    }

    /// Sends the request and returns the head of the response.
    async fn request(&self, socket: &mut TcpStream, target: &str) -> std::io::Result<Vec<u8>> {
        let mut request = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n");
        if let Some(authorization) = &self.authorization {
            request += &format!("Proxy-Authorization: {authorization}\r\n");
        }
        socket.write_all(format!("{request}\r\n").as_bytes()).await?;
        let mut head = Vec::new();
        // Byte by byte: the bytes behind the head belong to the tunnel.
        while !head.ends_with(b"\r\n\r\n") && head.len() < MAX_HEAD {
            head.push(socket.read_u8().await?);
        }
        Ok(head)
    }

    /// Checks the response: every status 2xx opens the tunnel.
    fn check(&self, head: &[u8], target: String) -> Result<(), ProxyError> {
        let proxy = self.to_string();
        let head = String::from_utf8_lossy(head);
        let mut lines = head.lines();
        let first = lines.next().unwrap_or_default();
        let status = first.strip_prefix("HTTP/1.").and_then(|rest| rest.split_once(' '));
        let Some((_, status)) = status.filter(|_| head.ends_with("\r\n\r\n")) else {
            return Err(ProxyError::NotHttp { proxy, answer: first.chars().take(100).collect() });
        };
        if status.starts_with('2') {
            return Ok(());
        }
        let hint = if status.starts_with("407") { self.hint(lines) } else { String::new() };
        Err(ProxyError::Refused { proxy, target, status: status.trim().to_owned(), hint })
    }

    /// Advice after a refusal for lack of authentication.
    fn hint<'a>(&self, headers: impl Iterator<Item = &'a str>) -> String {
        let offered = headers.filter_map(|line| {
            let (name, value) = line.split_once(':')?;
            let is_challenge = name.trim().eq_ignore_ascii_case("proxy-authenticate");
            value.trim().split(' ').next().filter(|_| is_challenge)
        });
        let offered: Vec<_> = offered.collect();
        if !offered.is_empty() && !offered.iter().any(|name| name.eq_ignore_ascii_case("basic")) {
            return format!(
                "; the client knows Basic authentication, the proxy {}",
                offered.join(", ")
            );
        }
        match self.authorization {
            Some(_) => "; user or password is wrong".to_owned(),
            None => "; write the proxy as http://USER:PASSWORD@HOST:PORT".to_owned(),
        }
    }
}

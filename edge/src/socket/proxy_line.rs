//! PROXY protocol, version 1: the line in front of a connection that carries the client's address. Called by
//! `listener.rs` on ports of `--proxy-listen`, which also checks that the proxy is trusted.

use std::io;
use std::net::IpAddr;
use std::time::Duration;

use tokio::net::TcpStream;

/// Longest line including CRLF, in bytes (PROXY protocol specification, section 2.1).
const MAX_LINE: usize = 107;

/// Time limit for the line; a proxy sends the line right after connecting.
const LINE_TIMEOUT: Duration = Duration::from_secs(5);

/// Source of a proxied connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    /// A client with this address.
    Client(IpAddr),
    /// The proxy itself (a health check), or a protocol without addresses.
    Unknown,
}

/// Reads the line and no byte behind it; `None` without a valid line in time.
pub(crate) async fn read_source(stream: &TcpStream) -> Option<Source> {
    let line = tokio::time::timeout(LINE_TIMEOUT, read_line(stream)).await;
    parse(line.ok()?.ok()?.as_slice())
}

/// Reads byte by byte, because the bytes behind the line belong to the client.
async fn read_line(stream: &TcpStream) -> io::Result<Vec<u8>> {
    let mut line = Vec::with_capacity(MAX_LINE);
    while line.len() < MAX_LINE && !line.ends_with(b"\r\n") {
        stream.readable().await?;
        let mut byte = [0];
        match stream.try_read(&mut byte) {
            Ok(0) => break,
            Ok(_) => line.extend_from_slice(&byte),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    Ok(line)
}

pub(crate) fn parse(line: &[u8]) -> Option<Source> {
    let line = str::from_utf8(line).ok()?.strip_suffix("\r\n")?;
    let mut words = line.strip_prefix("PROXY ")?.split(' ');
    match words.next()? {
        "UNKNOWN" => Some(Source::Unknown),
        "TCP4" | "TCP6" => {
            let client: IpAddr = words.next()?.parse().ok()?;
            // The remaining fields: the proxy's address and both ports.
            (words.count() == 3).then_some(Source::Client(client.to_canonical()))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt as _;
    use tokio::net::TcpListener;

    use super::*;

    #[test]
    fn a_valid_line_gives_the_client_address() {
        let client = |text: &str| Some(Source::Client(text.parse().unwrap()));
        assert_eq!(parse(b"PROXY TCP4 1.2.3.4 5.6.7.8 1 443\r\n"), client("1.2.3.4"));
        assert_eq!(parse(b"PROXY TCP6 2001:db8::1 ::1 1 443\r\n"), client("2001:db8::1"));
        assert_eq!(parse(b"PROXY TCP6 ::ffff:1.2.3.4 ::1 1 443\r\n"), client("1.2.3.4"));
        assert_eq!(parse(b"PROXY UNKNOWN\r\n"), Some(Source::Unknown));
        assert_eq!(parse(b"PROXY UNKNOWN ff ff 1 2\r\n"), Some(Source::Unknown));
    }

    #[test]
    fn an_invalid_line_is_rejected() {
        for wrong in [
            &b""[..],
            b"<int32/>\n",
            b"GET / HTTP/1.1\r\n",
            b"PROXY TCP4 1.2.3.4 5.6.7.8 1 443",
            b"PROXY TCP4 1.2.3.4 5.6.7.8 1 443\n",
            b"PROXY TCP4 1.2.3.4\r\n",
            b"PROXY TCP4 host 5.6.7.8 1 443\r\n",
            b"PROXY TCP5 1.2.3.4 5.6.7.8 1 443\r\n",
            b"proxy TCP4 1.2.3.4 5.6.7.8 1 443\r\n",
            b"\r\n\r\n\0\r\nQUIT\n",
        ] {
            assert_eq!(parse(wrong), None, "{}", wrong.escape_ascii());
        }
    }

    #[tokio::test]
    async fn bytes_behind_the_line_stay_in_the_socket() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut proxy = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        proxy.write_all(b"PROXY TCP4 1.2.3.4 5.6.7.8 1 443\r\n<int32/>\n").await.unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        assert_eq!(read_source(&stream).await, Some(Source::Client([1, 2, 3, 4].into())));
        let mut rest = [0; 9];
        stream.readable().await.unwrap();
        assert_eq!(stream.try_read(&mut rest).unwrap(), 9);
        assert_eq!(&rest, b"<int32/>\n");
    }

    #[tokio::test]
    async fn a_line_of_more_than_107_bytes_is_rejected() {
        for (length, fits) in [(106, true), (107, true), (108, false)] {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let mut proxy = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
            let filling = "x".repeat(length - "PROXY UNKNOWN \r\n".len());
            proxy.write_all(format!("PROXY UNKNOWN {filling}\r\n").as_bytes()).await.unwrap();
            let (stream, _) = listener.accept().await.unwrap();
            let expected = fits.then_some(Source::Unknown);
            assert_eq!(read_source(&stream).await, expected, "{length}");
        }
    }
}

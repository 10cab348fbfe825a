//! The line with which a proxy says who connects: the PROXY protocol, version 1. Only what follows it is
//! the client's. Called by `listener.rs` on ports of `--proxy-listen`; says nothing of whether the proxy may be
//! believed.

use std::io;
use std::net::IpAddr;
use std::time::Duration;

use tokio::net::TcpStream;

/// Longest line, its end included (PROXY protocol, 2.1).
const LINE: usize = 107;

/// Time to the line: the proxy sends it at once.
const LINE_TIME: Duration = Duration::from_secs(5);

/// What a proxy says of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    /// It is this client's.
    Client(IpAddr),
    /// It is the proxy's own, or of a kind that has no address.
    Unknown,
}

/// Reads the line and nothing behind it; `None` if there is none that can be understood.
pub(super) async fn origin(stream: &TcpStream) -> Option<Origin> {
    let line = tokio::time::timeout(LINE_TIME, line(stream)).await;
    parse(line.ok()?.ok()?.as_slice())
}

/// Byte by byte, because what comes behind the line is not ours; at most 107 of them.
async fn line(stream: &TcpStream) -> io::Result<Vec<u8>> {
    let mut line = Vec::with_capacity(LINE);
    while line.len() < LINE && !line.ends_with(b"\r\n") {
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

fn parse(line: &[u8]) -> Option<Origin> {
    let line = str::from_utf8(line).ok()?.strip_suffix("\r\n")?;
    let mut words = line.strip_prefix("PROXY ")?.split(' ');
    match words.next()? {
        "UNKNOWN" => Some(Origin::Unknown),
        "TCP4" | "TCP6" => {
            let client: IpAddr = words.next()?.parse().ok()?;
            // The proxy's address and the two ports.
            (words.count() == 3).then_some(Origin::Client(client.to_canonical()))
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
    fn the_line_names_the_client() {
        let client = |text: &str| Some(Origin::Client(text.parse().unwrap()));
        assert_eq!(parse(b"PROXY TCP4 1.2.3.4 5.6.7.8 1 443\r\n"), client("1.2.3.4"));
        assert_eq!(parse(b"PROXY TCP6 2001:db8::1 ::1 1 443\r\n"), client("2001:db8::1"));
        assert_eq!(parse(b"PROXY TCP6 ::ffff:1.2.3.4 ::1 1 443\r\n"), client("1.2.3.4"));
        assert_eq!(parse(b"PROXY UNKNOWN\r\n"), Some(Origin::Unknown));
        assert_eq!(parse(b"PROXY UNKNOWN ff ff 1 2\r\n"), Some(Origin::Unknown));
    }

    #[test]
    fn anything_else_is_refused() {
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
    async fn what_follows_the_line_is_left_to_be_read() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut proxy = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        proxy.write_all(b"PROXY TCP4 1.2.3.4 5.6.7.8 1 443\r\n<int32/>\n").await.unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        assert_eq!(origin(&stream).await, Some(Origin::Client([1, 2, 3, 4].into())));
        let mut rest = [0; 9];
        stream.readable().await.unwrap();
        assert_eq!(stream.try_read(&mut rest).unwrap(), 9);
        assert_eq!(&rest, b"<int32/>\n");
    }

    #[tokio::test]
    async fn a_line_has_at_most_107_bytes() {
        for (length, fits) in [(106, true), (107, true), (108, false)] {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let mut proxy = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
            let filling = "x".repeat(length - "PROXY UNKNOWN \r\n".len());
            proxy.write_all(format!("PROXY UNKNOWN {filling}\r\n").as_bytes()).await.unwrap();
            let (stream, _) = listener.accept().await.unwrap();
            let expected = fits.then_some(Origin::Unknown);
            assert_eq!(origin(&stream).await, expected, "{length}");
        }
    }
}

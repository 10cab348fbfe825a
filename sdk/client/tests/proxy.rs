//! Every transport through an HTTP proxy with authentication, and the errors of proxies.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::net::SocketAddr;
use std::time::Duration;

use minerva_client::{Config, ConnectError, Proxy, ProxyChoice, Stream, TransportKind};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

/// A server name that only the proxy can resolve.
const SERVER: &str = "server.invalid:7";

async fn soon<T>(future: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(10), future).await.unwrap()
}

/// Reads a request head, byte by byte.
async fn read_head(socket: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(soon(socket.read_u8()).await.unwrap());
    }
    String::from_utf8(head).unwrap()
}

/// A client of the proxy at `address` with the credentials `us er` and `pa:ss`.
fn through(address: SocketAddr, kind: TransportKind) -> Config {
    let mut config = Config::new(SERVER, kind);
    let proxy: Proxy = format!("http://us%20er:pa%3Ass@{address}").parse().unwrap();
    config.proxy = ProxyChoice::Use(proxy);
    config
}

#[tokio::test]
async fn every_transport_uses_a_tunnel() {
    for (kind, first) in [
        (TransportKind::Tcp, "<int32/>\n"),
        (TransportKind::WebSocket, "GET /_minerva/ws "),
        (TransportKind::HttpStream, "POST /_minerva/io/ "),
        (TransportKind::LongPoll, "POST /_minerva/io/ "),
    ] {
        let proxy = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let _stream = Stream::connect(through(proxy.local_addr().unwrap(), kind)).unwrap();
        let (mut socket, _) = soon(proxy.accept()).await.unwrap();
        let expected = "CONNECT server.invalid:7 HTTP/1.1\r\nHost: server.invalid:7\r\n\
            Proxy-Authorization: Basic dXMgZXI6cGE6c3M=\r\n\r\n";
        assert_eq!(read_head(&mut socket).await, expected);
        socket.write_all(b"HTTP/1.1 200 Connection established\r\nVia: x\r\n\r\n").await.unwrap();
        let mut bytes = vec![0; first.len()];
        soon(socket.read_exact(&mut bytes)).await.unwrap();
        assert_eq!(String::from_utf8(bytes).unwrap(), first, "{kind}");
    }
}

#[tokio::test]
async fn the_refusal_of_a_proxy_is_reported_with_its_answer() {
    for (answer, expected) in [
        ("HTTP/1.1 403 Forbidden\r\n\r\n", "403 Forbidden"),
        (
            "HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic realm=\"x\"\r\n\r\n",
            "user or password is wrong",
        ),
        ("HTTP/1.1 407 No\r\nproxy-authenticate: NTLM\r\n\r\n", "the proxy NTLM"),
        ("SSH-2.0-OpenSSH_9.0\r\n\r\n", "SSH-2.0"),
        ("", "failed"),
    ] {
        for kind in TransportKind::ALL {
            let proxy = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = proxy.local_addr().unwrap();
            let opening = tokio::spawn(Stream::open(through(address, kind)));
            let (mut socket, _) = soon(proxy.accept()).await.unwrap();
            read_head(&mut socket).await;
            socket.write_all(answer.as_bytes()).await.unwrap();
            drop(socket);
            let error = soon(opening).await.unwrap().unwrap_err();
            let ConnectError::Failed { attempts } = error else { panic!("{error}") };
            assert_eq!(attempts.len(), 1, "{attempts:?}");
            let attempt = &attempts[0];
            assert_eq!((attempt.transport, &*attempt.address), (kind, SERVER));
            let problem = &attempt.problem;
            assert_eq!(problem.code.as_str(), "proxy", "{problem}");
            let names_proxy = problem.title.contains(&address.to_string());
            assert!(names_proxy && problem.title.contains(expected), "{problem}");
            assert!(!problem.title.contains("pa:ss"), "{problem}");
        }
    }
}

#[tokio::test]
async fn an_unreachable_proxy_is_named() {
    let address = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let error = soon(Stream::open(through(address, TransportKind::Tcp))).await.unwrap_err();
    let text = error.to_string();
    assert!(text.contains(&format!("the proxy {address} is not reachable")), "{text}");
}

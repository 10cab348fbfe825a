//! Tests with an echo server behind the proxy.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::timeout;

use super::*;
use crate::clock;

/// Silence for this time counts as no arrival. A value that is too small can only hide a defect.
const QUIET_PERIOD: Duration = Duration::from_millis(100);

const TEST_TIMEOUT: Duration = Duration::from_secs(10);

/// Starts an echo server behind a proxy.
async fn proxy() -> Proxy {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let proxy = Proxy::start(listener.local_addr().unwrap()).await.unwrap();
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut from, mut to) = socket.split();
                let _ = tokio::io::copy(&mut from, &mut to).await;
                let _ = to.shutdown().await;
            });
        }
    });
    proxy
}

async fn connect(proxy: &Proxy) -> TcpStream {
    TcpStream::connect(proxy.address()).await.unwrap()
}

async fn send(socket: &mut TcpStream, text: &str) {
    socket.write_all(text.as_bytes()).await.unwrap();
}

async fn receive(socket: &mut TcpStream, text: &str) {
    let mut received = vec![0; text.len()];
    socket.read_exact(&mut received).await.unwrap();
    assert_eq!(received, text.as_bytes());
}

async fn receive_nothing(socket: &mut TcpStream) {
    let received = timeout(QUIET_PERIOD, socket.read_u8()).await;
    assert!(received.is_err(), "{received:?}");
}

#[tokio::test]
async fn bytes_and_half_close_pass() {
    let proxy = proxy().await;
    let mut socket = connect(&proxy).await;
    send(&mut socket, "one").await;
    receive(&mut socket, "one").await;
    assert_eq!(proxy.connections(), 1);
    send(&mut socket, "two").await;
    socket.shutdown().await.unwrap();
    let mut rest = String::new();
    socket.read_to_string(&mut rest).await.unwrap();
    assert_eq!(rest, "two", "one direction outlives the end of the other");
    timeout(TEST_TIMEOUT, async {
        while proxy.connections() > 0 {
            tokio::task::yield_now().await;
        }
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn a_delay_preserves_the_order() {
    let proxy = proxy().await;
    let (least, jitter) = (Duration::from_millis(30), Duration::from_millis(20));
    proxy.set(NetworkConditions::Delay { least, jitter });
    let mut socket = connect(&proxy).await;
    let start = clock::now();
    let mut expected = String::new();
    for number in 0..100 {
        let text = format!("{number} ");
        send(&mut socket, &text).await;
        tokio::task::yield_now().await;
        expected += &text;
    }
    receive(&mut socket, &expected).await;
    assert!(clock::now().duration_since(start) >= 2 * least, "there and back");
}

#[tokio::test]
async fn a_cut_ends_every_connection_as_requested() {
    let proxy = proxy().await;
    for how in [Cut::Fin, Cut::Rst] {
        let mut sockets = [connect(&proxy).await, connect(&proxy).await];
        for socket in &mut sockets {
            send(socket, "hello").await;
            receive(socket, "hello").await;
        }
        proxy.cut(how);
        for socket in &mut sockets {
            let ended = socket.read_u8().await.unwrap_err().kind();
            let expected = match how {
                Cut::Fin => std::io::ErrorKind::UnexpectedEof,
                Cut::Rst => std::io::ErrorKind::ConnectionReset,
            };
            assert_eq!(ended, expected);
        }
    }
    let mut socket = connect(&proxy).await;
    send(&mut socket, "again").await;
    receive(&mut socket, "again").await;
}

#[tokio::test]
async fn a_black_hole_delays_bytes_without_loss() {
    let proxy = proxy().await;
    let mut old = connect(&proxy).await;
    send(&mut old, "a").await;
    receive(&mut old, "a").await;
    proxy.set(NetworkConditions::BlackHole);
    let mut new = connect(&proxy).await;
    for socket in [&mut old, &mut new] {
        send(socket, "b").await;
        receive_nothing(socket).await;
    }
    proxy.set(NetworkConditions::Unimpaired);
    for socket in [&mut old, &mut new] {
        receive(socket, "b").await;
    }
}

#[tokio::test]
async fn a_slow_connection_is_rate_limited() {
    let proxy = proxy().await;
    proxy.set(NetworkConditions::Slow { bytes_per_second: 1000 });
    let mut socket = connect(&proxy).await;
    let start = clock::now();
    let text = "x".repeat(300);
    send(&mut socket, &text).await;
    receive(&mut socket, &text).await;
    assert!(clock::now().duration_since(start) >= Duration::from_millis(200));
    proxy.set(NetworkConditions::Unimpaired);
    let text = "y".repeat(1 << 20);
    let (mut from, mut to) = socket.split();
    let mut received = vec![0; text.len()];
    let (sent, read) = tokio::join!(to.write_all(text.as_bytes()), from.read_exact(&mut received));
    assert!(sent.is_ok() && read.is_ok() && received == text.as_bytes());
}

#[tokio::test]
async fn a_half_open_connection_never_recovers() {
    for direction in [PipeDirection::Upstream, PipeDirection::Downstream] {
        let proxy = proxy().await;
        let mut old = connect(&proxy).await;
        send(&mut old, "a").await;
        receive(&mut old, "a").await;
        proxy.set(NetworkConditions::HalfOpen(direction));
        send(&mut old, "b").await;
        receive_nothing(&mut old).await;
        proxy.set(NetworkConditions::Unimpaired);
        receive_nothing(&mut old).await;
        let mut new = connect(&proxy).await;
        send(&mut new, "c").await;
        receive(&mut new, "c").await;
    }
}

#[tokio::test]
async fn an_unreachable_upstream_closes_the_connection() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let nobody = listener.local_addr().unwrap();
    drop(listener);
    let proxy = Proxy::start(nobody).await.unwrap();
    let mut socket = connect(&proxy).await;
    assert!(socket.read_u8().await.is_err());
}

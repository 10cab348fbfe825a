//! A proxy in front of an echo.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::timeout;

use super::*;
use crate::clock;

/// How long nothing must come to count as nothing. Only makes a test miss a defect if it is too short.
const SILENCE: Duration = Duration::from_millis(100);

/// Far longer than anything takes here.
const PATIENCE: Duration = Duration::from_secs(10);

/// Echoes; a proxy in front of it.
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

async fn say(socket: &mut TcpStream, text: &str) {
    socket.write_all(text.as_bytes()).await.unwrap();
}

async fn hear(socket: &mut TcpStream, text: &str) {
    let mut heard = vec![0; text.len()];
    socket.read_exact(&mut heard).await.unwrap();
    assert_eq!(heard, text.as_bytes());
}

async fn hear_nothing(socket: &mut TcpStream) {
    let heard = timeout(SILENCE, socket.read_u8()).await;
    assert!(heard.is_err(), "{heard:?}");
}

#[tokio::test]
async fn what_is_written_passes_and_so_does_the_end() {
    let proxy = proxy().await;
    let mut socket = connect(&proxy).await;
    say(&mut socket, "one").await;
    hear(&mut socket, "one").await;
    assert_eq!(proxy.connections(), 1);
    say(&mut socket, "two").await;
    socket.shutdown().await.unwrap();
    let mut rest = String::new();
    socket.read_to_string(&mut rest).await.unwrap();
    assert_eq!(rest, "two", "one direction outlives the end of the other");
    timeout(PATIENCE, async {
        while proxy.connections() > 0 {
            tokio::task::yield_now().await;
        }
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn a_delay_holds_back_and_keeps_the_order() {
    let proxy = proxy().await;
    let (least, jitter) = (Duration::from_millis(30), Duration::from_millis(20));
    proxy.set(Weather::Delay { least, jitter });
    let mut socket = connect(&proxy).await;
    let start = clock::now();
    let mut expected = String::new();
    for number in 0..100 {
        let text = format!("{number} ");
        say(&mut socket, &text).await;
        tokio::task::yield_now().await;
        expected += &text;
    }
    hear(&mut socket, &expected).await;
    assert!(clock::now().duration_since(start) >= 2 * least, "there and back");
}

#[tokio::test]
async fn a_cut_ends_every_connection_in_its_way() {
    let proxy = proxy().await;
    for how in [Cut::Fin, Cut::Rst] {
        let mut sockets = [connect(&proxy).await, connect(&proxy).await];
        for socket in &mut sockets {
            say(socket, "hello").await;
            hear(socket, "hello").await;
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
    say(&mut socket, "again").await;
    hear(&mut socket, "again").await;
}

#[tokio::test]
async fn a_black_hole_is_silent_and_loses_nothing() {
    let proxy = proxy().await;
    let mut old = connect(&proxy).await;
    say(&mut old, "a").await;
    hear(&mut old, "a").await;
    proxy.set(Weather::BlackHole);
    let mut new = connect(&proxy).await;
    for socket in [&mut old, &mut new] {
        say(socket, "b").await;
        hear_nothing(socket).await;
    }
    proxy.set(Weather::Fair);
    for socket in [&mut old, &mut new] {
        hear(socket, "b").await;
    }
}

#[tokio::test]
async fn a_slow_connection_has_its_rate() {
    let proxy = proxy().await;
    proxy.set(Weather::Slow { bytes_per_second: 1000 });
    let mut socket = connect(&proxy).await;
    let start = clock::now();
    let text = "x".repeat(300);
    say(&mut socket, &text).await;
    hear(&mut socket, &text).await;
    assert!(clock::now().duration_since(start) >= Duration::from_millis(200));
    proxy.set(Weather::Fair);
    let text = "y".repeat(1 << 20);
    let (mut from, mut to) = socket.split();
    let mut heard = vec![0; text.len()];
    let (said, read) = tokio::join!(to.write_all(text.as_bytes()), from.read_exact(&mut heard));
    assert!(said.is_ok() && read.is_ok() && heard == text.as_bytes());
}

#[tokio::test]
async fn a_direction_that_died_stays_dead_on_its_connection_alone() {
    for way in [Way::There, Way::Back] {
        let proxy = proxy().await;
        let mut old = connect(&proxy).await;
        say(&mut old, "a").await;
        hear(&mut old, "a").await;
        proxy.set(Weather::HalfOpen(way));
        say(&mut old, "b").await;
        hear_nothing(&mut old).await;
        proxy.set(Weather::Fair);
        hear_nothing(&mut old).await;
        let mut new = connect(&proxy).await;
        say(&mut new, "c").await;
        hear(&mut new, "c").await;
    }
}

#[tokio::test]
async fn nobody_behind_it_means_a_closed_connection() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let nobody = listener.local_addr().unwrap();
    drop(listener);
    let proxy = Proxy::start(nobody).await.unwrap();
    let mut socket = connect(&proxy).await;
    assert!(socket.read_u8().await.is_err());
}

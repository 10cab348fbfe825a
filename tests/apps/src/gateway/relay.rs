//! Checks of the relayed bytes: complete delivery, and back-pressure in both directions.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use minerva_client::TransportKind;
use minerva_faults::memory;
use minerva_faults::random::Random;
use tokio::net::TcpListener;
use tokio::time::sleep;

use super::fixture::Fixture;
use super::tunnel::AVERAGE_SEGMENT;

/// Bytes in each direction.
const PIPELINE: usize = 2_000_000;
/// Bytes of a value in the backend, and the number of requests by a client that does not read.
const VALUE: (usize, usize) = (1 << 20, 32);
/// Limit of bytes in flight to a side that does not read; the kernel's buffers of two sockets hold up to 10 MiB.
const MAX_IN_FLIGHT: usize = 16 << 20;
/// Limit of the gateway's memory growth in bytes.
const GROWTH: u64 = 16 << 20;
/// Number of equal readings for a steady value, and their interval.
const STEADY: (u32, Duration) = (10, Duration::from_millis(100));

/// Requests with one response each.
pub(super) async fn answers(fixture: &Fixture, kind: TransportKind) -> anyhow::Result<()> {
    let mut tunnel = fixture.tunnel(kind)?;
    for _ in 0..20 {
        tunnel.ping().await?;
    }
    tunnel.end().await;
    Ok(())
}

/// Many bytes in flight in both directions arrive complete and in order.
pub(super) async fn pipeline(fixture: &Fixture, kind: TransportKind) -> anyhow::Result<()> {
    let mut tunnel = fixture.tunnel(kind)?;
    let (requests, answers) = echoes(fixture.seed);
    let send = tunnel.sender();
    tokio::try_join!(send(&requests), tunnel.expect(&answers))?;
    tunnel.end().await;
    Ok(())
}

/// As [`pipeline`] while the cores are killed and restarted in turn: stream and connection survive.
pub(super) async fn killed_cores(fixture: &mut Fixture) -> anyhow::Result<()> {
    let mut tunnel = fixture.tunnel(TransportKind::WebSocket)?;
    let (requests, answers) = echoes(fixture.seed);
    tunnel.name("outlives").await?;
    for core in &mut fixture.deployment.cores {
        let send = tunnel.sender();
        let restart = async {
            core.kill().await?;
            core.spawn()?;
            core.ready().await
        };
        tokio::try_join!(send(&requests), tunnel.expect(&answers), restart)?;
    }
    tunnel.send("CLIENT GETNAME\r\n").await?;
    tunnel.expect("$8\r\noutlives\r\n").await?;
    tunnel.end().await;
    Ok(())
}

/// A client requests much and does not read: the data stays in the backend until the client reads.
pub(super) async fn slow_client(fixture: &Fixture, kind: TransportKind) -> anyhow::Result<()> {
    let value = bulk(&bytes(&mut Random::new(fixture.seed), VALUE.0));
    let mut tunnel = fixture.tunnel(kind)?;
    let name = format!("slow-{kind}");
    tunnel.name(&name).await?;
    let set = [b"*3\r\n$3\r\nSET\r\n$1\r\nv\r\n", &value[..]].concat();
    tunnel.send(set).await?;
    tunnel.expect("+OK\r\n").await?;
    let pid = fixture.gateway.pid().context("no gateway")?;
    let before = memory::of(pid)?.peak;
    tunnel.send("GET v\r\n".repeat(VALUE.1)).await?;
    let kept = steady(async || held(fixture, &name).await).await?;
    let taken = (value.len() * VALUE.1).saturating_sub(kept);
    let grown = memory::of(pid)?.peak.saturating_sub(before);
    println!("        {taken} bytes taken, the gateway has grown by {grown}");
    ensure!(taken <= MAX_IN_FLIGHT, "{taken} bytes were taken for a client that does not read");
    ensure!(grown <= GROWTH, "the gateway has grown by {grown} bytes");
    fixture.tunnel(kind)?.ping().await.context("another client is blocked too")?;
    for number in 0..VALUE.1 {
        tunnel.expect(&value).await.with_context(|| format!("answer {number}"))?;
    }
    tunnel.ping().await?;
    tunnel.end().await;
    Ok(())
}

/// A backend does not read: the client blocks and finally receives the reason.
pub(super) async fn slow_backend(fixture: &Fixture) -> anyhow::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let more = ["--stall-timeout", "5"];
    let gateway = fixture.another(listener.local_addr()?, "slow", &more).await?;
    let tunnel = fixture.tunnel_to("slow")?;
    let (connection, _) = listener.accept().await?;
    let pid = gateway.pid().context("no gateway")?;
    let before = memory::of(pid)?.peak;
    let bytes = vec![0xAA; 2 * MAX_IN_FLIGHT];
    let acknowledged = async || Ok(tunnel.stream().counters().acknowledged as usize);
    let (sent, segments) = tokio::join!(tunnel.send(&bytes), steady(acknowledged));
    let taken = segments? * AVERAGE_SEGMENT;
    let grown = memory::of(pid)?.peak.saturating_sub(before);
    println!("        some {taken} bytes taken, the gateway has grown by {grown}");
    ensure!(taken <= MAX_IN_FLIGHT, "{taken} bytes were taken for a backend that does not read");
    ensure!(grown <= GROWTH, "the gateway has grown by {grown} bytes");
    ensure!(sent.is_err(), "{} bytes were sent without back-pressure", bytes.len());
    drop(connection);
    tunnel.expect_end("backend stalled", false).await
}

/// Polls a figure until a positive value is steady.
async fn steady(mut figure: impl AsyncFnMut() -> anyhow::Result<usize>) -> anyhow::Result<usize> {
    let (mut last, mut same) = (0, 0);
    while same < STEADY.0 {
        sleep(STEADY.1).await;
        let now = figure().await?;
        same = if now == last && now > 0 { same + 1 } else { 0 };
        last = now;
    }
    Ok(last)
}

/// Bytes in the backend's output buffer for a client of this name.
async fn held(fixture: &Fixture, name: &str) -> anyhow::Result<usize> {
    let list: String = fixture.redis.command(&["CLIENT", "LIST"]).await?;
    let named = format!(" name={name} ");
    let line = list.lines().find(|line| line.contains(&named)).context("the client is missing")?;
    let field = line.split(' ').find_map(|field| field.strip_prefix("omem="));
    Ok(field.context("no omem")?.parse()?)
}

/// Requests of various lengths, and their responses.
fn echoes(seed: u64) -> (Vec<u8>, Vec<u8>) {
    let (mut requests, mut answers) = (Vec::new(), Vec::new());
    let mut random = Random::new(seed);
    while answers.len() < PIPELINE {
        let length = random.between(0, 60_000) as usize;
        let text = bulk(&bytes(&mut random, length));
        requests.extend_from_slice(b"*2\r\n$4\r\nECHO\r\n");
        requests.extend_from_slice(&text);
        answers.extend_from_slice(&text);
    }
    (requests, answers)
}

/// Encodes a bulk string of the Redis protocol.
fn bulk(bytes: &[u8]) -> Vec<u8> {
    [format!("${}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n"].concat()
}

fn bytes(random: &mut Random, count: usize) -> Vec<u8> {
    let words = (0..count.div_ceil(8)).flat_map(|_| random.bits().to_le_bytes());
    words.take(count).collect()
}

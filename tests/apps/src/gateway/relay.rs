//! Checks of the bytes: that all come, and that a slow side stops the other.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use minerva_client::TransportKind;
use minerva_faults::memory;
use minerva_faults::random::Random;
use tokio::net::TcpListener;
use tokio::time::sleep;

use super::Scene;
use super::tunnel::AVERAGE_SEGMENT;

/// What is sent both ways.
const PIPELINE: usize = 2_000_000;
/// A value in the backend, and how often it is asked for by a client that does not read.
const VALUE: (usize, usize) = (1 << 20, 32);
/// What may be on its way to a side that takes nothing: mostly what the kernel holds for two sockets, 10 MiB at most.
const UNDER_WAY: usize = 16 << 20;
/// How much the gateway may grow by holding its part of that.
const GROWTH: u64 = 16 << 20;
/// Readings that must be the same, and the time between two.
const STEADY: (u32, Duration) = (10, Duration::from_millis(100));

/// A question and an answer.
pub(super) async fn answers(scene: &Scene, kind: TransportKind) -> anyhow::Result<()> {
    let mut tunnel = scene.tunnel(kind)?;
    for _ in 0..20 {
        tunnel.ping().await?;
    }
    tunnel.end().await;
    Ok(())
}

/// Many bytes under way at once, both ways; all must come, in order.
pub(super) async fn pipeline(scene: &Scene, kind: TransportKind) -> anyhow::Result<()> {
    let mut tunnel = scene.tunnel(kind)?;
    let (questions, answers) = echoes(scene.seed);
    let speak = tunnel.speaker();
    tokio::try_join!(speak(&questions), tunnel.expect(&answers))?;
    tunnel.end().await;
    Ok(())
}

/// The same while one core after the other dies and comes back: that costs neither stream nor connection.
pub(super) async fn killed_cores(scene: &mut Scene) -> anyhow::Result<()> {
    let mut tunnel = scene.tunnel(TransportKind::WebSocket)?;
    let (questions, answers) = echoes(scene.seed);
    tunnel.name("outlives").await?;
    for core in &mut scene.stage.cores {
        let speak = tunnel.speaker();
        let harm = async {
            core.kill().await?;
            core.spawn()?;
            core.ready().await
        };
        tokio::try_join!(speak(&questions), tunnel.expect(&answers), harm)?;
    }
    tunnel.say("CLIENT GETNAME\r\n").await?;
    tunnel.expect("$8\r\noutlives\r\n").await?;
    tunnel.end().await;
    Ok(())
}

/// A client that asks for much and reads nothing: the rest stays in the backend, and comes when the client reads.
pub(super) async fn slow_client(scene: &Scene, kind: TransportKind) -> anyhow::Result<()> {
    let value = bulk(&bytes(&mut Random::new(scene.seed), VALUE.0));
    let mut tunnel = scene.tunnel(kind)?;
    let name = format!("slow-{kind}");
    tunnel.name(&name).await?;
    let set = [b"*3\r\n$3\r\nSET\r\n$1\r\nv\r\n", &value[..]].concat();
    tunnel.say(set).await?;
    tunnel.expect("+OK\r\n").await?;
    let pid = scene.gateway.pid().context("no gateway")?;
    let before = memory::of(pid)?.peak;
    tunnel.say("GET v\r\n".repeat(VALUE.1)).await?;
    let kept = steady(async || held(scene, &name).await).await?;
    let taken = (value.len() * VALUE.1).saturating_sub(kept);
    let grown = memory::of(pid)?.peak.saturating_sub(before);
    println!("        {taken} bytes taken, the gateway has grown by {grown}");
    ensure!(taken <= UNDER_WAY, "{taken} bytes were taken for a client that does not read");
    ensure!(grown <= GROWTH, "the gateway has grown by {grown} bytes");
    scene.tunnel(kind)?.ping().await.context("another client waits, too")?;
    for number in 0..VALUE.1 {
        tunnel.expect(&value).await.with_context(|| format!("answer {number}"))?;
    }
    tunnel.ping().await?;
    tunnel.end().await;
    Ok(())
}

/// A backend that reads nothing: the client has to wait, and hears of it in the end.
pub(super) async fn slow_backend(scene: &Scene) -> anyhow::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let more = ["--stall-timeout", "5"];
    let gateway = scene.another(listener.local_addr()?, "slow", &more).await?;
    let tunnel = scene.tunnel_to("slow")?;
    let (connection, _) = listener.accept().await?;
    let pid = gateway.pid().context("no gateway")?;
    let before = memory::of(pid)?.peak;
    let much = vec![0xAA; 2 * UNDER_WAY];
    let acknowledged = async || Ok(tunnel.stream().counters().acknowledged as usize);
    let (said, segments) = tokio::join!(tunnel.say(&much), steady(acknowledged));
    let taken = segments? * AVERAGE_SEGMENT;
    let grown = memory::of(pid)?.peak.saturating_sub(before);
    println!("        some {taken} bytes taken, the gateway has grown by {grown}");
    ensure!(taken <= UNDER_WAY, "{taken} bytes were taken for a backend that does not read");
    ensure!(grown <= GROWTH, "the gateway has grown by {grown} bytes");
    ensure!(said.is_err(), "{} bytes found room somewhere", much.len());
    drop(connection);
    tunnel.expect_end("backend stalled", false).await
}

/// Reads a figure until it has begun to grow and changes no more.
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

/// What the backend still holds for a client of this name.
async fn held(scene: &Scene, name: &str) -> anyhow::Result<usize> {
    let list: String = scene.redis.command(&["CLIENT", "LIST"]).await?;
    let named = format!(" name={name} ");
    let line = list.lines().find(|line| line.contains(&named)).context("it is gone")?;
    let field = line.split(' ').find_map(|field| field.strip_prefix("omem="));
    Ok(field.context("no omem")?.parse()?)
}

/// Questions of all lengths, and their answers.
fn echoes(seed: u64) -> (Vec<u8>, Vec<u8>) {
    let (mut questions, mut answers) = (Vec::new(), Vec::new());
    let mut random = Random::new(seed);
    while answers.len() < PIPELINE {
        let length = random.between(0, 60_000) as usize;
        let text = bulk(&bytes(&mut random, length));
        questions.extend_from_slice(b"*2\r\n$4\r\nECHO\r\n");
        questions.extend_from_slice(&text);
        answers.extend_from_slice(&text);
    }
    (questions, answers)
}

/// As the backend's protocol has bytes.
fn bulk(bytes: &[u8]) -> Vec<u8> {
    [format!("${}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n"].concat()
}

fn bytes(random: &mut Random, count: usize) -> Vec<u8> {
    let words = (0..count.div_ceil(8)).flat_map(|_| random.bits().to_le_bytes());
    words.take(count).collect()
}

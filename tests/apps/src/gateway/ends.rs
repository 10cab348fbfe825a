//! Checks of the ends: each side's end ends the other, and the reason is the true one.

use std::ffi::OsString;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use minerva_client::TransportKind;
use minerva_faults::deployment::beside_this;
use minerva_faults::process::{Process, Signal};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

use super::Scene;

/// What a backend says before it closes: more than the gateway holds for a client.
const LAST: usize = 3 << 20;
/// More connections than a listener of length 1 holds, and the time after which one is known to wait.
const BACKLOG: usize = 8;
const FULL: Duration = Duration::from_millis(500);

/// The backend sees the connection go when the client ends its stream.
pub(super) async fn by_client(scene: &Scene, kind: TransportKind) -> anyhow::Result<()> {
    let mut tunnel = scene.tunnel(kind)?;
    let name = format!("leaves-{kind}");
    tunnel.name(&name).await?;
    scene.until_named(&name, true).await?;
    tunnel.end().await;
    scene.until_named(&name, false).await
}

/// What is no segment ends both.
pub(super) async fn by_invalid(scene: &Scene, kind: TransportKind) -> anyhow::Result<()> {
    let too_long = "AAAA".repeat((48 << 10) / 3 + 1);
    for (string, reason) in [("no base64!", "not base64"), (&too_long, "segment too long")] {
        let mut tunnel = scene.tunnel(kind)?;
        let name = format!("invalid-{kind}-{}", reason.len());
        tunnel.name(&name).await?;
        tunnel.stream().queue(string.to_owned()).await?;
        tunnel.expect_end(reason, true).await?;
        scene.until_named(&name, false).await?;
    }
    Ok(())
}

/// A client that begins to read after the backend has closed gets all that the backend said, then the end.
pub(super) async fn by_backend(scene: &Scene, kind: TransportKind) -> anyhow::Result<()> {
    let mut tunnel = scene.tunnel(kind)?;
    let name = format!("quits-{kind}");
    tunnel.name(&name).await?;
    let value = "x".repeat(LAST);
    tunnel.say(format!("*2\r\n$4\r\nECHO\r\n${LAST}\r\n{value}\r\nQUIT\r\n")).await?;
    tunnel.stream().flush().await?;
    tunnel.expect(format!("${LAST}\r\n{value}\r\n+OK\r\n")).await?;
    tunnel.expect_end("backend closed", true).await?;
    // Little enough that the backend is gone before the client reads anything.
    let mut tunnel = scene.tunnel(kind)?;
    let name = format!("quits-soon-{kind}");
    tunnel.name(&name).await?;
    tunnel.say("PING\r\nQUIT\r\n").await?;
    scene.until_named(&name, false).await?;
    tunnel.expect("+PONG\r\n+OK\r\n").await?;
    tunnel.expect_end("backend closed", true).await
}

/// A backend that does not accept in time.
pub(super) async fn by_silence(scene: &Scene) -> anyhow::Result<()> {
    let socket = TcpSocket::new_v4()?;
    socket.bind("127.0.0.1:0".parse()?)?;
    let listener = socket.listen(1)?;
    let address = listener.local_addr()?;
    // Nobody accepts these. When one has to wait, the gateway's will.
    let mut others = Vec::new();
    while let Ok(other) = timeout(FULL, TcpStream::connect(address)).await {
        others.push(other?);
        ensure!(others.len() < BACKLOG, "the listener is never full");
    }
    let _gateway = scene.another(address, "silent", &["--connect-timeout", "1"]).await?;
    scene.tunnel_to("silent")?.expect_end("backend does not answer", false).await
}

/// A connection more than there may be; when the other one is gone, there may be one again.
pub(super) async fn by_limit(scene: &Scene) -> anyhow::Result<()> {
    let more = ["--max-connections", "1"];
    let _gateway = scene.another(scene.redis.address, "few", &more).await?;
    let mut first = scene.tunnel_to("few")?;
    first.name("first").await?;
    scene.tunnel_to("few")?.expect_end("too many connections", true).await?;
    first.ping().await?;
    first.end().await;
    // Its place is free at about the time at which the backend sees it go.
    scene.until_named("first", false).await?;
    loop {
        let mut next = scene.tunnel_to("few")?;
        match next.ping().await {
            Ok(()) => return Ok(()),
            Err(_) => next.expect_end("too many connections", true).await?,
        }
    }
}

/// The backend dies, is not there, and comes back.
pub(super) async fn by_killed_backend(scene: &mut Scene) -> anyhow::Result<()> {
    let mut tunnel = scene.tunnel(TransportKind::WebSocket)?;
    tunnel.ping().await?;
    scene.backend.kill().await?;
    // The kernel closes its connections as if it had done so itself.
    tunnel.expect_end("backend closed", true).await?;
    scene.tunnel(TransportKind::Tcp)?.expect_end("backend refused", false).await?;
    scene.tunnel(TransportKind::WebSocket)?.expect_end("backend refused", false).await?;
    scene.backend.spawn()?;
    scene.backend.ready().await?;
    scene.tunnel(TransportKind::WebSocket)?.ping().await
}

/// The gateway dies: its connections are gone, and so their streams must be when it comes back.
pub(super) async fn by_killed_gateway(scene: &mut Scene) -> anyhow::Result<()> {
    let mut tunnels = Vec::new();
    for kind in [TransportKind::WebSocket, TransportKind::Tcp] {
        let mut tunnel = scene.tunnel(kind)?;
        tunnel.ping().await?;
        tunnels.push(tunnel);
    }
    scene.gateway.kill().await?;
    // Said to nobody: it must not reach the backend later.
    tunnels[0].say("SET stray 1\r\n").await?;
    scene.gateway.spawn()?;
    for tunnel in tunnels {
        tunnel.expect_end("gateway restarted", false).await?;
    }
    scene.tunnel(TransportKind::WebSocket)?.ping().await?;
    let stray: Option<String> = scene.redis.command(&["GET", "stray"]).await?;
    ensure!(stray.is_none(), "what was said to the dead gateway came to the backend");
    Ok(())
}

/// The gateway is asked to end: it says so to its clients, and ends with success.
pub(super) async fn by_stop(scene: &mut Scene) -> anyhow::Result<()> {
    let mut tunnel = scene.tunnel(TransportKind::WebSocket)?;
    tunnel.ping().await?;
    scene.gateway.signal(Signal::TERM)?;
    tunnel.expect_end("gateway stopping", false).await?;
    let status = scene.gateway.wait().await?;
    ensure!(status.success(), "it ended with {status}");
    scene.gateway.spawn()?;
    scene.tunnel(TransportKind::WebSocket)?.ping().await
}

/// Options that cannot work end it with 64, those that ask for help with 0.
pub(super) async fn by_options(scene: &Scene) -> anyhow::Result<()> {
    let backend = scene.redis.address.to_string();
    let all: [(&[&str], i32); 6] = [
        (&[], 64),
        (&["--backend", "nowhere"], 64),
        (&["--backend", &backend, "--max-connections", "0"], 64),
        (&["--backend", &backend, "--api", "no address"], 64),
        (&["--backend", &backend, "--service", "No Name"], 64),
        (&["--help"], 0),
    ];
    for (arguments, expected) in all {
        let program = beside_this("examples/gateway")?;
        let log = scene.stage.directory().join("options.log");
        let options = arguments.iter().map(OsString::from).collect();
        let mut process = Process::new("the gateway", program, options, log);
        process.spawn()?;
        let code = process.wait().await?.code().context("no exit code")?;
        ensure!(code == expected, "{arguments:?}: exit code {code}");
    }
    Ok(())
}

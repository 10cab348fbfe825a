//! Checks of ends: the end of one side ends the other side, with the right reason.

use std::ffi::OsString;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use minerva_client::TransportKind;
use minerva_faults::deployment::beside_this;
use minerva_faults::process::{Process, Signal};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

use super::fixture::Fixture;

/// Bytes that a backend sends before its close, above the gateway's buffer for a client.
const LAST: usize = 3 << 20;
/// Upper bound of the connections in a backlog of 1, and the time limit of a connect while the backlog has room.
const BACKLOG: usize = 8;
const FULL: Duration = Duration::from_millis(500);

/// The end of a stream closes the backend's connection.
pub(super) async fn by_client(fixture: &Fixture, kind: TransportKind) -> anyhow::Result<()> {
    let mut tunnel = fixture.tunnel(kind)?;
    let name = format!("leaves-{kind}");
    tunnel.name(&name).await?;
    fixture.until_named(&name, true).await?;
    tunnel.end().await;
    fixture.until_named(&name, false).await
}

/// An invalid segment ends both sides.
pub(super) async fn by_invalid(fixture: &Fixture, kind: TransportKind) -> anyhow::Result<()> {
    let too_long = "AAAA".repeat((48 << 10) / 3 + 1);
    for (message, reason) in [("no base64!", "not base64"), (&too_long, "segment too long")] {
        let mut tunnel = fixture.tunnel(kind)?;
        let name = format!("invalid-{kind}-{}", reason.len());
        tunnel.name(&name).await?;
        tunnel.stream().queue(message.to_owned()).await?;
        tunnel.expect_end(reason, true).await?;
        fixture.until_named(&name, false).await?;
    }
    Ok(())
}

/// A client that reads only after the backend's close receives all bytes of the backend, then the end.
pub(super) async fn by_backend(fixture: &Fixture, kind: TransportKind) -> anyhow::Result<()> {
    let mut tunnel = fixture.tunnel(kind)?;
    let name = format!("quits-{kind}");
    tunnel.name(&name).await?;
    let value = "x".repeat(LAST);
    tunnel.send(format!("*2\r\n$4\r\nECHO\r\n${LAST}\r\n{value}\r\nQUIT\r\n")).await?;
    tunnel.stream().flush().await?;
    tunnel.expect(format!("${LAST}\r\n{value}\r\n+OK\r\n")).await?;
    tunnel.expect_end("backend closed", true).await?;
    // So few bytes that the backend closes before the client reads.
    let mut tunnel = fixture.tunnel(kind)?;
    let name = format!("quits-soon-{kind}");
    tunnel.name(&name).await?;
    tunnel.send("PING\r\nQUIT\r\n").await?;
    fixture.until_named(&name, false).await?;
    tunnel.expect("+PONG\r\n+OK\r\n").await?;
    tunnel.expect_end("backend closed", true).await
}

/// A backend that does not accept in time.
pub(super) async fn by_silence(fixture: &Fixture) -> anyhow::Result<()> {
    let socket = TcpSocket::new_v4()?;
    socket.bind("127.0.0.1:0".parse()?)?;
    let listener = socket.listen(1)?;
    let address = listener.local_addr()?;
    // No connection is accepted. Once a connect blocks, the gateway's connect blocks too.
    let mut others = Vec::new();
    while let Ok(other) = timeout(FULL, TcpStream::connect(address)).await {
        others.push(other?);
        ensure!(others.len() < BACKLOG, "the listener is never full");
    }
    let _gateway = fixture.another(address, "silent", &["--connect-timeout", "1"]).await?;
    fixture.tunnel_to("silent")?.expect_end("backend does not answer", false).await
}

/// A connection above the limit is refused; after the end of the first one, a connection is accepted.
pub(super) async fn by_limit(fixture: &Fixture) -> anyhow::Result<()> {
    let more = ["--max-connections", "1"];
    let _gateway = fixture.another(fixture.redis.address, "few", &more).await?;
    let mut first = fixture.tunnel_to("few")?;
    first.name("first").await?;
    fixture.tunnel_to("few")?.expect_end("too many connections", true).await?;
    first.ping().await?;
    first.end().await;
    // The gateway frees the slot at about the time of the backend's disconnect.
    fixture.until_named("first", false).await?;
    loop {
        let mut next = fixture.tunnel_to("few")?;
        match next.ping().await {
            Ok(()) => return Ok(()),
            Err(_) => next.expect_end("too many connections", true).await?,
        }
    }
}

/// The backend is killed and restarted.
pub(super) async fn by_killed_backend(fixture: &mut Fixture) -> anyhow::Result<()> {
    let mut tunnel = fixture.tunnel(TransportKind::WebSocket)?;
    tunnel.ping().await?;
    fixture.backend.kill().await?;
    // The kernel closes the backend's connections in the regular way.
    tunnel.expect_end("backend closed", true).await?;
    fixture.tunnel(TransportKind::Tcp)?.expect_end("backend refused", false).await?;
    fixture.tunnel(TransportKind::WebSocket)?.expect_end("backend refused", false).await?;
    fixture.backend.spawn()?;
    fixture.backend.ready().await?;
    fixture.tunnel(TransportKind::WebSocket)?.ping().await
}

/// The gateway is killed: after the restart the streams of the lost connections must end.
pub(super) async fn by_killed_gateway(fixture: &mut Fixture) -> anyhow::Result<()> {
    let mut tunnels = Vec::new();
    for kind in [TransportKind::WebSocket, TransportKind::Tcp] {
        let mut tunnel = fixture.tunnel(kind)?;
        tunnel.ping().await?;
        tunnels.push(tunnel);
    }
    fixture.gateway.kill().await?;
    // Sent without a gateway: these bytes must never reach the backend.
    tunnels[0].send("SET stray 1\r\n").await?;
    fixture.gateway.spawn()?;
    for tunnel in tunnels {
        tunnel.expect_end("gateway restarted", false).await?;
    }
    fixture.tunnel(TransportKind::WebSocket)?.ping().await?;
    let stray: Option<String> = fixture.redis.command(&["GET", "stray"]).await?;
    ensure!(stray.is_none(), "bytes sent to the dead gateway reached the backend");
    Ok(())
}

/// The gateway is stopped: clients receive the reason, and the exit code is 0.
pub(super) async fn by_stop(fixture: &mut Fixture) -> anyhow::Result<()> {
    let mut tunnel = fixture.tunnel(TransportKind::WebSocket)?;
    tunnel.ping().await?;
    fixture.gateway.signal(Signal::TERM)?;
    tunnel.expect_end("gateway stopping", false).await?;
    let status = fixture.gateway.wait().await?;
    ensure!(status.success(), "exit status {status}");
    fixture.gateway.spawn()?;
    fixture.tunnel(TransportKind::WebSocket)?.ping().await
}

/// The exit code is 64 for invalid options and 0 for help.
pub(super) async fn by_options(fixture: &Fixture) -> anyhow::Result<()> {
    let backend = fixture.redis.address.to_string();
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
        let log = fixture.deployment.directory().join("options.log");
        let options = arguments.iter().map(OsString::from).collect();
        let mut process = Process::new("the gateway", program, options, log);
        process.spawn()?;
        let code = process.wait().await?.code().context("no exit code")?;
        ensure!(code == expected, "{arguments:?}: exit code {code}");
    }
    Ok(())
}

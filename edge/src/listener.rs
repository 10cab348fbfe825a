//! Accepts connections up to `--max-connections`, detects the protocol of each, and passes the connection to
//! the protocol's driver. Run by `edge.rs`, one listener per port.

pub(crate) mod sniff;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use minerva_proto::ServiceName;
use minerva_proto::link::Caller;
use minerva_runtime::recurring::RecurringFaults;
use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use crate::admission::Admittance;
use crate::clock;
use crate::http;
use crate::http::connection::Connection;
use crate::metrics::{Metrics, TlsFailure};
use crate::shared::{Phase, Shared};
use crate::socket::proxy_line::{self, Source};
use crate::socket::{ConnectionPermit, Rewind, Socket};
use crate::tcp;
use crate::tls::{Certificates, HandshakeError};
use sniff::{Protocol, sniff};

/// Pause after a failed accept, usually for lack of file descriptors, which other connections may free.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// TCP keep-alive: idle time before the first probe, interval and number of probes. A vanished client is
/// detected after 2 minutes, the default idle limit of a stream.
const PROBE_AFTER: Duration = Duration::from_secs(60);
const PROBE_EVERY: Duration = Duration::from_secs(15);
const PROBES: u32 = 4;

/// Limit for unacknowledged TCP data, which suspends keep-alive probes (heartbeats, for example).
#[cfg(target_os = "linux")]
const UNACKED: Duration = Duration::from_secs(120);

/// A bound port and the settings of its connections.
pub(crate) struct Listener {
    pub(crate) socket: TcpListener,
    /// Service of TCP transports and of paths without a service name.
    pub(crate) service: ServiceName,
    pub(crate) kind: ListenerKind,
    /// Permits for open connections, shared by all ports. Without a permit, one accepted connection waits here
    /// and further ones wait in the kernel's backlog.
    pub(crate) permits: Arc<Semaphore>,
    pub(crate) shared: Arc<Shared>,
}

/// Preamble of each connection on a port, before the client's first bytes.
#[derive(Debug, Clone)]
pub(crate) enum ListenerKind {
    /// None.
    Plain,
    /// A PROXY protocol line with the client's address.
    Proxied,
    /// A TLS handshake.
    Tls(Certificates),
}

impl Listener {
    /// Accepts until the edge drains.
    pub(crate) async fn run(self) {
        let mut phase = self.shared.phase.clone();
        tokio::select! {
            () = self.accept_all() => {}
            _ = phase.wait_for(|phase| *phase != Phase::Running) => {}
        }
    }

    async fn accept_all(&self) {
        let address = self.socket.local_addr();
        let is_loopback = address.is_ok_and(|address| address.ip().to_canonical().is_loopback());
        loop {
            let (stream, peer) = match self.socket.accept().await {
                Ok(accepted) => accepted,
                Err(error) => {
                    warn_accept(&error);
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            let is_proxy = matches!(self.kind, ListenerKind::Proxied);
            let Some(admittance) = self.shared.admission.admit_peer(peer.ip(), is_proxy) else {
                let _ = stream.set_zero_linger();
                continue;
            };
            // After accept: a permit taken earlier would be held by a port without clients.
            let Ok(permit) = Arc::clone(&self.permits).acquire_owned().await else { return };
            let shared = Arc::clone(&self.shared);
            let permit = ConnectionPermit::new(permit, &shared.metrics.connections);
            let (kind, service) = (self.kind.clone(), self.service.clone());
            let peer = peer.ip();
            let accepted =
                Accepted { stream, peer, kind, service, is_loopback, permit, admittance };
            tokio::spawn(serve(Box::new(accepted), shared));
        }
    }
}

/// Logs a failed accept, one line per cause at growing intervals.
fn warn_accept(error: &std::io::Error) {
    static FAULTS: RecurringFaults = RecurringFaults::new();
    if let Some(failures) = FAULTS.record(&error.to_string(), clock::now()) {
        tracing::warn!(%error, failures, "cannot accept");
    }
}

/// An accepted connection before protocol detection.
struct Accepted {
    stream: TcpStream,
    peer: IpAddr,
    kind: ListenerKind,
    service: ServiceName,
    /// Whether the port is bound to a loopback address.
    is_loopback: bool,
    permit: ConnectionPermit,
    admittance: Admittance,
}

/// Serves one connection. The future is kept small, since every idle connection holds one.
async fn serve(accepted: Box<Accepted>, shared: Arc<Shared>) {
    let Accepted { stream, peer, kind, service, is_loopback, permit, admittance } = *accepted;
    configure(&stream);
    let mut phase = shared.phase.clone();
    let detection = async {
        let (mut socket, peer) = accept_preamble(stream, peer, kind, &shared).await?;
        let protocol = sniff(&mut socket).await;
        Some((socket, peer, protocol))
    };
    let (socket, peer, protocol) = tokio::select! {
        detected = Box::pin(detection) => match detected {
            Some(detected) => detected,
            None => return,
        },
        _ = phase.wait_for(|phase| *phase != Phase::Running) => return,
    };
    match protocol {
        Protocol::Socket { rest } => {
            let Some(address) = admittance.permit(&shared.admission, peer) else { return };
            drop(admittance);
            let peer_address = peer.to_canonical().to_string();
            let caller = Caller { service, peer_address, ..Caller::default() };
            Box::pin(tcp::serve(socket, rest, shared, (caller, address))).await;
            drop(permit);
        }
        Protocol::Policy => {
            Box::pin(tcp::serve_policy(socket, shared)).await;
            drop(permit);
        }
        Protocol::Http { read } => {
            let (permit, encrypted) = (Arc::new(permit), socket.is_encrypted());
            let connection =
                Connection { shared, service, peer, encrypted, is_loopback, permit, admittance };
            Box::pin(http::serve(Rewind::new(read, socket), connection)).await;
        }
        Protocol::Garbage => refuse(socket.tcp(), &shared),
        Protocol::Silence => {}
    }
}

/// Reads the port's preamble; `None` if the preamble is invalid or late.
async fn accept_preamble(
    stream: TcpStream,
    peer: IpAddr,
    kind: ListenerKind,
    shared: &Shared,
) -> Option<(Socket, IpAddr)> {
    match kind {
        ListenerKind::Plain => Some((Socket::Plain(stream), peer)),
        ListenerKind::Proxied => match proxied_client(&stream, peer, shared).await {
            Some(client) => Some((Socket::Plain(stream), client)),
            None => {
                refuse(&stream, shared);
                None
            }
        },
        ListenerKind::Tls(certificates) => match certificates.accept(stream).await {
            Ok(socket) => Some((socket, peer)),
            Err(error) => {
                note_failed_handshake(&error, peer, &shared.metrics);
                None
            }
        },
    }
}

/// Counts a failed TLS handshake; logs a refused one, one line per cause at growing intervals.
fn note_failed_handshake(error: &HandshakeError, peer: IpAddr, metrics: &Metrics) {
    static FAULTS: RecurringFaults = RecurringFaults::new();
    let cause = error.cause();
    metrics.tls_failures.get_or_create(&TlsFailure { cause }).inc();
    if !error.is_refusal() {
        return;
    }
    metrics.garbage.inc();
    if let Some(failures) = FAULTS.record(cause, clock::now()) {
        tracing::warn!(cause, failures, %peer, %error, "a TLS handshake has failed");
    }
}

/// Returns the client's address from the PROXY line; `None` without a trusted proxy or a valid line.
async fn proxied_client(stream: &TcpStream, proxy: IpAddr, shared: &Shared) -> Option<IpAddr> {
    if !shared.proxies.trusts(proxy.to_canonical()) {
        return None;
    }
    match proxy_line::read_source(stream).await? {
        Source::Client(client) => Some(client),
        Source::Unknown => Some(proxy),
    }
}

/// Resets a connection with an unknown protocol or an untrusted proxy.
fn refuse(stream: &TcpStream, shared: &Shared) {
    shared.metrics.garbage.inc();
    let _ = stream.set_zero_linger();
}

/// Sets socket options. Failures are ignored, since the connection works without them.
fn configure(stream: &TcpStream) {
    let _ = stream.set_nodelay(true);
    let probes = TcpKeepalive::new().with_time(PROBE_AFTER).with_interval(PROBE_EVERY);
    let socket = SockRef::from(stream);
    let _ = socket.set_tcp_keepalive(&probes.with_retries(PROBES));
    #[cfg(target_os = "linux")]
    let _ = socket.set_tcp_user_timeout(Some(UNACKED));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn keep_alive_detects_vanished_peers() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let _client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        configure(&stream);
        let socket = SockRef::from(&stream);
        assert!(socket.keepalive().unwrap());
        assert_eq!(socket.tcp_keepalive_time().unwrap(), PROBE_AFTER);
        #[cfg(target_os = "linux")]
        assert_eq!(socket.tcp_user_timeout().unwrap(), Some(UNACKED));
    }
}

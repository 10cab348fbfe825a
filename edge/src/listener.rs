//! Accepts connections, at most so many at a time, finds out what each speaks, and hands it to its
//! driver. Run by `edge.rs`, one per port.

mod sniff;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use minerva_proto::ServiceName;
use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use crate::http;
use crate::http::connection::Connection;
use crate::shared::{Phase, Shared};
use crate::socket::proxy_line::{self, Source};
use crate::socket::{ConnectionPermit, Rewind, Socket};
use crate::tcp;
use crate::tls::{Certificates, HandshakeError};
use crate::transport::Caller;
use sniff::{Protocol, sniff};

/// Pause after a failure of accept: mostly no file descriptors are left, and some may be soon.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Silence after which the system asks whether the peer is still there, and how often it asks again:
/// a client that vanished without a word is let go after 2 minutes, as an idle stream is.
const PROBE_AFTER: Duration = Duration::from_secs(60);
const PROBE_EVERY: Duration = Duration::from_secs(15);
const PROBES: u32 = 4;

/// The same if there is something to be sent to it, such as heartbeats.
#[cfg(target_os = "linux")]
const UNACKED: Duration = Duration::from_secs(120);

/// One port.
pub(crate) struct Listener {
    pub(crate) socket: TcpListener,
    /// The service of a path, or of a TCP transport, that names none.
    pub(crate) service: ServiceName,
    pub(crate) kind: ListenerKind,
    /// Connections that may be opened yet; one for all ports. More wait: one here, the others in the system's
    /// backlog.
    pub(crate) room: Arc<Semaphore>,
    pub(crate) shared: Arc<Shared>,
}

/// With what each connection of a port begins, before the client's first bytes.
#[derive(Debug, Clone)]
pub(crate) enum ListenerKind {
    /// With nothing.
    Plain,
    /// With a proxy's word about who connects.
    Proxied,
    /// With a handshake; everything that follows is encrypted.
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
        loop {
            let (stream, peer) = match self.socket.accept().await {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "cannot accept");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            // Not before: each port would keep a place free for a connection that may never come.
            let Ok(permit) = Arc::clone(&self.room).acquire_owned().await else { return };
            let shared = Arc::clone(&self.shared);
            let permit = ConnectionPermit::new(permit, &shared.metrics.connections);
            let arrival = Arrival { stream, peer: peer.ip(), kind: self.kind.clone(), permit };
            tokio::spawn(serve(Box::new(arrival), shared, self.service.clone()));
        }
    }
}

/// A connection that was accepted.
struct Arrival {
    stream: TcpStream,
    peer: IpAddr,
    kind: ListenerKind,
    permit: ConnectionPermit,
}

/// Serves one connection; small, because every idle connection holds this future.
async fn serve(arrival: Box<Arrival>, shared: Arc<Shared>, service: ServiceName) {
    let Arrival { stream, peer, kind, permit } = *arrival;
    set_up(&stream);
    let mut phase = shared.phase.clone();
    let beginning = async {
        let (mut socket, peer) = accept_preamble(stream, peer, kind, &shared).await?;
        let protocol = sniff(&mut socket).await;
        Some((socket, peer, protocol))
    };
    let (socket, peer, protocol) = tokio::select! {
        beginning = Box::pin(beginning) => match beginning {
            Some(beginning) => beginning,
            None => return,
        },
        _ = phase.wait_for(|phase| *phase != Phase::Running) => return,
    };
    match protocol {
        Protocol::Socket { rest } => {
            let peer_address = peer.to_canonical().to_string();
            let caller = Caller { service, headers: Vec::new(), peer_address };
            Box::pin(tcp::serve(socket, rest, shared, caller)).await;
            drop(permit);
        }
        Protocol::Policy => {
            Box::pin(tcp::serve_policy(socket, shared)).await;
            drop(permit);
        }
        Protocol::Http { read } => {
            let (permit, encrypted) = (Arc::new(permit), socket.is_encrypted());
            let connection = Connection { shared, service, peer, encrypted, permit };
            Box::pin(http::serve(Rewind::new(read, socket), connection)).await;
        }
        Protocol::Garbage => refuse(socket.tcp(), &shared),
        Protocol::Silence => {}
    }
}

/// Does what comes before the client's first bytes; `None` if that went wrong.
async fn accept_preamble(
    stream: TcpStream,
    peer: IpAddr,
    kind: ListenerKind,
    shared: &Shared,
) -> Option<(Socket, IpAddr)> {
    match kind {
        ListenerKind::Plain => Some((Socket::Plain(stream), peer)),
        ListenerKind::Proxied => match client(&stream, peer, shared).await {
            Some(client) => Some((Socket::Plain(stream), client)),
            None => {
                refuse(&stream, shared);
                None
            }
        },
        ListenerKind::Tls(certificates) => match certificates.accept(stream).await {
            Ok(socket) => Some((socket, peer)),
            Err(error) => {
                if error == HandshakeError::Garbage {
                    shared.metrics.garbage.inc();
                }
                None
            }
        },
    }
}

/// Who connects, as the proxy says; `None` if it is not one that is trusted, or says nothing.
async fn client(stream: &TcpStream, proxy: IpAddr, shared: &Shared) -> Option<IpAddr> {
    if !shared.proxies.trusts(proxy.to_canonical()) {
        return None;
    }
    match proxy_line::read_source(stream).await? {
        Source::Client(client) => Some(client),
        Source::Unknown => Some(proxy),
    }
}

/// Breaks off a connection that speaks nothing we know, or must not speak here.
fn refuse(stream: &TcpStream, shared: &Shared) {
    shared.metrics.garbage.inc();
    let _ = stream.set_zero_linger();
}

/// Tunes a socket. One that cannot be tuned works all the same.
fn set_up(stream: &TcpStream) {
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
    async fn the_system_looks_for_peers_that_vanished() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let _client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        set_up(&stream);
        let socket = SockRef::from(&stream);
        assert!(socket.keepalive().unwrap());
        assert_eq!(socket.tcp_keepalive_time().unwrap(), PROBE_AFTER);
        #[cfg(target_os = "linux")]
        assert_eq!(socket.tcp_user_timeout().unwrap(), Some(UNACKED));
    }
}

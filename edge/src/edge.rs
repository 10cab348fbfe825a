//! An edge as a component: opens the ports, builds the links, serves, and drains. Used by `minerva-edge`
//! and by programs that embed an edge.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use minerva_proto::ServiceName;
use minerva_runtime::ConfigError;
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use crate::access::{Hosts, Origins, TrustedProxies};
use crate::admission::{Admission, AdmissionLimits};
use crate::buffer_budget::BufferBudget;
use crate::clock;
use crate::config::{Config, Port};
use crate::files;
use crate::link::{self, Cores, Directory};
use crate::listener::{Listener, ListenerKind};
use crate::metrics::Metrics;
use crate::pages::Pages;
use crate::shared::{Phase, Shared};
use crate::tls::Certificates;
use crate::transport::Limits;

/// Default Flash policy file: allows every domain, since a stream id is the secret that admits a client.
const POLICY: &str = "<cross-domain-policy>\n<allow-access-from domain=\"*\" to-ports=\"*\"/>\n\
    </cross-domain-policy>";

/// Time for connection tasks to end after the drain time.
const CLOSE_TIME: Duration = Duration::from_millis(500);

/// An edge with open ports and links under construction.
#[derive(Debug)]
pub struct Edge {
    listeners: Vec<OpenPort>,
    local_addr: SocketAddr,
    certificates: Option<Certificates>,
    shared: Arc<Shared>,
    permits: Arc<Semaphore>,
    /// Total of `permits`.
    max_connections: u32,
    phase: watch::Sender<Phase>,
    /// Link and listener tasks; aborted when the edge is dropped.
    tasks: JoinSet<()>,
}

impl Edge {
    /// Opens the ports and starts to build the links to `cores`. Requires a tokio runtime.
    ///
    /// # Errors
    /// If an option is invalid or a port cannot be opened.
    pub fn bind(
        config: Config,
        cores: impl Into<Cores>,
        pages: Pages,
        metrics: Option<Metrics>,
    ) -> Result<Self, ConfigError> {
        let metrics = metrics.unwrap_or_default();
        let certificates = Certificates::load(config.tls_files(), !config.tls_listen.is_empty())?;
        let (listeners, local_addr) = open_ports(&config, certificates.as_ref())?;
        let (links, task) = link::links(cores.into(), edge_id(local_addr), metrics.clone());
        let mut tasks = JoinSet::new();
        tasks.spawn(task);
        let (phase, phases) = watch::channel(Phase::Running);
        let shared = shared_state(&config, pages, links, metrics, phases)?;
        let max_connections = files::raise_limit(config.max_connections);
        Ok(Self {
            listeners,
            local_addr,
            certificates,
            shared: Arc::new(shared),
            permits: Arc::new(Semaphore::new(max_connections as usize)),
            max_connections,
            phase,
            tasks,
        })
    }

    /// Address of the `--listen` port, with the actual port number.
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// Certificates of the TLS ports, if there are any; call `reload` after a renewal.
    pub fn certificates(&self) -> Option<Certificates> {
        self.certificates.clone()
    }

    /// Observer of the links, for readiness.
    pub fn link_state(&self) -> LinkState {
        LinkState { unready_reason: self.shared.links.unready_reason() }
    }

    /// Serves until `stop` completes, then drains: accepts no connections, asks clients to reconnect elsewhere,
    /// and closes the remaining connections after the drain time.
    pub async fn run(mut self, stop: impl Future<Output = ()> + Send) {
        for OpenPort { socket, service, kind } in std::mem::take(&mut self.listeners) {
            let (permits, shared) = (Arc::clone(&self.permits), Arc::clone(&self.shared));
            let listener = Listener { socket, service, kind, permits, shared };
            self.tasks.spawn(listener.run());
        }
        stop.await;
        self.drain().await;
    }

    async fn drain(self) {
        tracing::info!(seconds = self.shared.drain_time.as_secs_f64(), "draining");
        self.phase.send_replace(Phase::Draining);
        let all_gone = self.permits.acquire_many(self.max_connections);
        if tokio::time::timeout(self.shared.drain_time, all_gone).await.is_ok() {
            return;
        }
        let remaining = self.max_connections as usize - self.permits.available_permits();
        tracing::info!(remaining, "drain time is over, closing the remaining connections");
        self.phase.send_replace(Phase::Over);
        let all_gone = self.permits.acquire_many(self.max_connections);
        let _ = tokio::time::timeout(CLOSE_TIME, all_gone).await;
    }
}

/// Observes the links of an edge.
#[derive(Debug, Clone)]
pub struct LinkState {
    unready_reason: watch::Receiver<Option<&'static str>>,
}

impl LinkState {
    /// Whether a link is up and a core owns partitions.
    pub fn is_up(&self) -> bool {
        self.unready_reason().is_none()
    }

    /// Reason why the edge cannot serve, if there is one.
    pub fn unready_reason(&self) -> Option<&'static str> {
        *self.unready_reason.borrow()
    }

    /// Waits for a change; never returns after the edge has ended.
    pub async fn changed(&mut self) {
        if self.unready_reason.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// A bound port that is not served yet.
#[derive(Debug)]
struct OpenPort {
    socket: TcpListener,
    service: ServiceName,
    kind: ListenerKind,
}

fn open_ports(
    config: &Config,
    certificates: Option<&Certificates>,
) -> Result<(Vec<OpenPort>, SocketAddr), ConfigError> {
    let first = [Port { service: ServiceName::default(), address: config.listen }];
    let mut kinds = vec![
        ("--listen", &first[..], ListenerKind::Plain),
        ("--extra-listen", &config.extra_listen, ListenerKind::Plain),
        ("--proxy-listen", &config.proxy_listen, ListenerKind::Proxied),
    ];
    if let Some(certificates) = certificates {
        kinds.push(("--tls-listen", &config.tls_listen, ListenerKind::Tls(certificates.clone())));
    }
    let mut listeners = Vec::new();
    for (option, ports, kind) in kinds {
        for Port { service, address } in ports {
            let cannot_listen = |error| ConfigError::cannot_listen(option, *address, &error);
            let socket = listen(*address, config.listen_backlog).map_err(cannot_listen)?;
            listeners.push(OpenPort { socket, service: service.clone(), kind: kind.clone() });
        }
    }
    let local_addr = listeners.first().and_then(|first| first.socket.local_addr().ok());
    Ok((listeners, local_addr.unwrap_or(config.listen)))
}

/// Opens a port. `TcpListener::bind` would fix the backlog at 128.
fn listen(address: SocketAddr, backlog: u32) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // As `TcpListener::bind` does: a restart need not wait for connections in TIME_WAIT.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(backlog)
}

fn shared_state(
    config: &Config,
    pages: Pages,
    links: Directory,
    metrics: Metrics,
    phase: watch::Receiver<Phase>,
) -> Result<Shared, ConfigError> {
    let origins = Origins::new(&config.origins, config.require_origin).map_err(|error| {
        ConfigError::new("--origins", error, "write origins such as https://example.com, or *")
    })?;
    let hosts = Hosts::new(&config.hosts).map_err(|error| {
        ConfigError::new(
            "--hosts",
            error,
            "write names such as example.com, *.example.com, addresses, or *",
        )
    })?;
    let proxies = TrustedProxies::new(&config.trust_forwarded_for, config.forwarded_header)
        .map_err(|error| {
            let fix = "write addresses or networks such as 10.0.0.0/8";
            ConfigError::new("--trust-forwarded-for", error, fix)
        })?;
    let names = config.pass_headers.iter().map(|name| name.trim()).filter(|name| !name.is_empty());
    let pass_headers = names.map(|name| {
        http::HeaderName::from_bytes(name.as_bytes()).map_err(|_| {
            let problem = format!("`{name}` is not a header name");
            ConfigError::new("--pass-headers", problem, "write names such as user-agent")
        })
    });
    let limits = Limits {
        max_frame: config.max_frame as usize,
        hold_time: config.hold_time,
        ..Limits::default()
    };
    let admission_limits = AdmissionLimits {
        connections: config.max_connections_per_address,
        unknown_streams: config.max_unknown_streams,
        takeovers: config.max_takeovers,
        unfinished: config.max_unfinished_bytes as usize,
        max_frame: config.max_frame as usize,
    };
    let admission = Admission::new(admission_limits, proxies.clone(), metrics.clone());
    Ok(Shared {
        limits,
        admission: Arc::new(admission),
        buffers: Arc::new(BufferBudget::new(config.max_waiting_bytes, &metrics.waiting_bytes)),
        origins,
        hosts,
        proxies,
        pass_headers: pass_headers.collect::<Result<_, _>>()?,
        pages,
        policy: policy(config)?,
        drain_time: config.drain_time,
        links,
        max_version: config.max_version,
        metrics,
        phase,
        #[cfg(feature = "echo")]
        echo_websockets: config.echo_websockets,
    })
}

fn policy(config: &Config) -> Result<Bytes, ConfigError> {
    let mut text = match &config.policy_file {
        None => POLICY.as_bytes().to_vec(),
        Some(path) => std::fs::read(path).map_err(|error| {
            let problem = format!("cannot read {}: {error}", path.display());
            ConfigError::new("--policy-file", problem, "name a readable file")
        })?,
    };
    text.push(0);
    Ok(text.into())
}

/// A unique name of this process: port number and 32 random bits.
fn edge_id(address: SocketAddr) -> String {
    let random = clock::random_part(Duration::from_secs(u32::MAX.into())).as_secs();
    format!("edge-{}-{random:08x}", address.port())
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpStream;

    use super::*;

    #[tokio::test]
    async fn unaccepted_connections_fill_the_whole_backlog() {
        // Above 128, the backlog of `TcpListener::bind`, and below every usual `net.core.somaxconn`.
        const BACKLOG: u32 = 300;
        let listener = listen("127.0.0.1:0".parse().unwrap(), BACKLOG).unwrap();
        let address = listener.local_addr().unwrap();
        let mut clients = Vec::new();
        for number in 1..=BACKLOG {
            let connecting = tokio::time::timeout(CONNECT_LIMIT, TcpStream::connect(address));
            clients.push(connecting.await.unwrap_or_else(|_| panic!("{number} wait")).unwrap());
        }
    }

    const CONNECT_LIMIT: Duration = Duration::from_secs(20);
}

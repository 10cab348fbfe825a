//! One HTTP connection as its requests see it. Made by `listener.rs`, read by `http.rs`, `http/exchange.rs`
//! and `websocket.rs`.

use std::net::IpAddr;
use std::sync::Arc;

use http::{HeaderMap, Uri};
use minerva_proto::ServiceName;
use minerva_proto::link::Caller;

use crate::admission::{AddressPermit, Admittance};
use crate::shared::Shared;
use crate::socket::ConnectionPermit;

/// State shared by all requests of one connection.
pub(crate) struct Connection {
    pub(crate) shared: Arc<Shared>,
    /// Service of `/_minerva/io/` and `/_minerva/ws` on this port.
    pub(crate) service: ServiceName,
    /// Address of the socket's peer, or of the PROXY line: the client, or the nearest proxy.
    pub(crate) peer: IpAddr,
    /// Whether this process terminates TLS. A proxy in front may add TLS that is not visible here.
    pub(crate) encrypted: bool,
    /// Whether the port is bound to a loopback address, which a page can reach by DNS rebinding only.
    pub(crate) is_loopback: bool,
    /// Released before `permit`: a connection that is not counted in the gauge has no count of its address, either.
    pub(crate) admittance: Admittance,
    pub(crate) permit: Arc<ConnectionPermit>,
}

impl Connection {
    /// Whether a request may use this server under its host name. Behind a trusted proxy only `--hosts` decides, since
    /// the proxy has public names and a loopback address of the edge. The same holds for TLS: an attacker's name does
    /// not match the certificate.
    pub(crate) fn accepts_host(&self, uri: &Uri, headers: &HeaderMap) -> bool {
        let is_proxied = matches!(self.admittance, Admittance::Proxied);
        let only_loopback = self.is_loopback && !is_proxied && !self.encrypted;
        self.shared.hosts.accepts(uri, headers, only_loopback)
    }

    /// Whether the client is within the limits of its address as far as the connection shows it.
    pub(crate) fn is_refused(&self) -> bool {
        matches!(self.admittance, Admittance::Refused { .. })
    }

    /// Counts a transport for its client; `None` beyond the limit of the address.
    pub(crate) fn admit(&self, headers: &HeaderMap) -> Option<Arc<AddressPermit>> {
        let client = self.shared.proxies.client(self.peer, headers);
        self.admittance.permit(&self.shared.admission, client)
    }

    /// Counts a further transport of one request; `None` beyond the limit of the address.
    pub(crate) fn admit_further(&self, headers: &HeaderMap) -> Option<Arc<AddressPermit>> {
        let client = self.shared.proxies.client(self.peer, headers);
        self.shared.admission.admit(client).ok().map(Arc::new)
    }

    /// Describes the client of one request to the core and the application.
    pub(crate) fn caller(&self, headers: &HeaderMap, service: ServiceName) -> Caller {
        let passed = self.shared.pass_headers.iter().flat_map(|name| {
            let values = headers.get_all(name).iter();
            values.map(|value| {
                (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned())
            })
        });
        Caller {
            service,
            headers: passed.collect(),
            peer_address: self.shared.proxies.client(self.peer, headers).to_string(),
            ..Caller::default()
        }
    }
}

//! Links over TLS: certificates of edge and core, their faults in the log, and changed files.
#![allow(clippy::unwrap_used, reason = "these are tests, too")]

#[path = "../../runtime/tests/support/authority.rs"]
mod authority;
mod support;

use std::io::Write;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use authority::{Authority, terminate_tls};
use minerva_edge::{Config, Cores};
use minerva_runtime::tls::{Port, TlsClient, TlsFiles};
use rustls::ServerConfig;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use support::{Core, Rig, TIMEOUT, hello};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// Terminates TLS in front of a scripted core, as a core does on its link port.
async fn core_with(files: TlsFiles, core: SocketAddr) -> SocketAddr {
    terminate_tls(files, Port::Link, core).await
}

fn edge_of(authority: &Authority) -> TlsClient {
    TlsClient::client(authority.make("minerva:edge")).unwrap()
}

/// A TLS server whose certificate has expired: a core does not start with one, but runs on with one.
async fn expired_core(files: TlsFiles) -> SocketAddr {
    let (certificate, key) = files.identity.unwrap();
    let chain = vec![CertificateDer::from_pem_file(certificate).unwrap()];
    let key = PrivateKeyDer::from_pem_file(key).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key);
    let acceptor = TlsAcceptor::from(Arc::new(config.unwrap()));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (socket, _) = listener.accept().await.unwrap();
            let _ = acceptor.accept(socket).await;
        }
    });
    address
}

fn at(address: SocketAddr) -> Cores {
    Cores::at(&[address.to_string()]).unwrap()
}

/// The log of this test.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Log {
    fn start() -> (Self, tracing::subscriber::DefaultGuard) {
        let log = Self::default();
        let writer = log.clone();
        let writer = move || writer.clone();
        let subscriber = tracing_subscriber::fmt().with_writer(writer).with_ansi(false).finish();
        (log, tracing::subscriber::set_default(subscriber))
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap()).into_owned()
    }

    /// Waits for a line with all these texts.
    async fn has(&self, texts: &[&str]) {
        let found = async {
            while !self.text().lines().any(|line| texts.iter().all(|text| line.contains(text))) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let found = tokio::time::timeout(TIMEOUT, found).await;
        assert!(found.is_ok(), "no line with {texts:?} in {}", self.text());
    }
}

#[tokio::test]
async fn a_link_over_tls_serves_clients() {
    let authority = Authority::new();
    let core = Core::listen().await;
    let address = core_with(authority.make("minerva:core"), core.address).await;
    let cores = at(address).with_tls(edge_of(&authority));
    let mut rig = Rig::between(Config::default(), cores, core);
    rig.core.greet().await;
    rig.is_hindered_by(None).await;
    let mut client = rig.tcp(&[&hello("\"ming\":true,\"eeds\":null")]).await;
    let transport = rig.core.attach().await.transport;
    rig.core.opened(transport, false).await;
    rig.core.messages(transport, 0, &["x"]).await;
    client.expect(&["0N", "x "]).await;
}

#[tokio::test]
async fn each_fault_of_a_certificate_is_logged_with_its_fix_and_the_edge_is_not_ready() {
    let (authority, foreign) = (Authority::new(), Authority::new());
    let mut stranger = foreign.make("minerva:edge");
    stranger.ca = authority.path().join("ca.pem");
    let stranger = TlsClient::client(stranger).unwrap();
    let core = Core::listen().await;
    let plain = core.address;
    let good = core_with(authority.make("minerva:core"), plain).await;
    let wrong_role = core_with(authority.make("minerva:operator"), plain).await;
    let other_ca = core_with(foreign.make("minerva:core"), plain).await;
    let expired = expired_core(authority.make_until("minerva:core", 2020)).await;
    drop(core);
    for (address, certificates, texts) in [
        (wrong_role, Some(edge_of(&authority)), ["has the role minerva:operator", "give the core"]),
        (other_ca, Some(edge_of(&authority)), ["peer is of another CA", "--mtls-ca"]),
        (expired, Some(edge_of(&authority)), ["the peer has expired", "docs/security.md"]),
        (good, Some(stranger), ["the peer refused", "of another CA"]),
        (good, None, ["the peer needs TLS on this port", "--mtls-cert"]),
    ] {
        let (log, _guard) = Log::start();
        let cores = match certificates {
            Some(certificates) => at(address).with_tls(certificates),
            None => at(address),
        };
        let mut rig = Rig::between(Config::default(), cores, Core::listen().await);
        log.has(&["cannot establish the link", texts[0], texts[1]]).await;
        rig.is_hindered_by(Some("no link to a core")).await;
    }
}

#[tokio::test]
async fn a_core_without_tls_is_named_in_the_log_of_an_edge_with_tls() {
    let (log, _guard) = Log::start();
    let core = Core::listen().await;
    let cores = at(core.address).with_tls(edge_of(&Authority::new()));
    let mut rig = Rig::between(Config::default(), cores, core);
    log.has(&["cannot establish the link", "give the core --mtls-ca"]).await;
    rig.is_hindered_by(Some("no link to a core")).await;
}

#[tokio::test]
async fn changed_files_establish_the_link_without_a_restart() {
    let (log, _guard) = Log::start();
    let (authority, foreign) = (Authority::new(), Authority::new());
    let core = Core::listen().await;
    let address = core_with(authority.make("minerva:core"), core.address).await;
    let files = foreign.make("minerva:edge");
    let cores = at(address).with_tls(TlsClient::client(files.clone()).unwrap());
    let mut rig = Rig::between(Config::default(), cores, core);
    log.has(&["cannot establish the link", "of another CA"]).await;
    let good = authority.make("minerva:edge");
    let ((certificate, key), (good_certificate, good_key)) =
        (files.identity.unwrap(), good.identity.unwrap());
    for (from, to) in [(good.ca, files.ca), (good_certificate, certificate), (good_key, key)] {
        // Renamed, as a renewal does: each file is complete.
        let new = to.with_extension("new");
        std::fs::copy(from, &new).unwrap();
        std::fs::rename(new, to).unwrap();
    }
    rig.core.greet().await;
    rig.is_hindered_by(None).await;
}

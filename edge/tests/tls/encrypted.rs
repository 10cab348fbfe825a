//! Test rig with a TLS port, certificate files and clients that trust one certificate.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use minerva_edge::{Certificates, Config, Cores, Edge, Pages, Port};
use minerva_proto::ServiceName;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ProtocolVersion, RootCertStore, SupportedProtocolVersion};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::certificate::make_certificate;
use crate::ports::free_port;
use crate::support::{Client, Rig};

/// A directory with `cert.pem` and `key.pem`.
pub(crate) struct Files(pub(crate) TempDir);

impl Files {
    pub(crate) fn make() -> Self {
        let directory = tempfile::tempdir().unwrap();
        make_certificate(directory.path());
        Self(directory)
    }

    pub(crate) fn certificate(&self) -> PathBuf {
        self.0.path().join("cert.pem")
    }

    pub(crate) fn key(&self) -> PathBuf {
        self.0.path().join("key.pem")
    }

    /// Copies the content of other files.
    pub(crate) fn become_like(&self, other: &Self) {
        std::fs::copy(other.certificate(), self.certificate()).unwrap();
        std::fs::copy(other.key(), self.key()).unwrap();
    }

    pub(crate) fn config(&self, port: u16) -> Config {
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        Config {
            tls_listen: vec![Port { service: ServiceName::default(), address }],
            tls_certificate: Some(self.certificate()),
            tls_key: Some(self.key()),
            ..Config::default()
        }
    }
}

/// Client configuration that trusts only the certificate of these files.
pub(crate) struct Trust {
    pub(crate) config: ClientConfig,
}

impl Trust {
    pub(crate) fn of(files: &Files) -> Self {
        Self::speaking(files, rustls::ALL_VERSIONS)
    }

    pub(crate) fn speaking(files: &Files, versions: &[&'static SupportedProtocolVersion]) -> Self {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(files.certificate()).unwrap()).unwrap();
        let builder = ClientConfig::builder_with_provider(Arc::new(default_provider()));
        let builder = builder.with_protocol_versions(versions).unwrap();
        Self { config: builder.with_root_certificates(roots).with_no_client_auth() }
    }

    pub(crate) fn with_alpn(mut self, names: &[&str]) -> Self {
        self.config.alpn_protocols = names.iter().map(|name| name.as_bytes().to_vec()).collect();
        self
    }

    pub(crate) async fn dial(&self, address: SocketAddr) -> std::io::Result<Tls> {
        let stream = TcpStream::connect(address).await?;
        let name = ServerName::try_from("localhost").unwrap();
        TlsConnector::from(Arc::new(self.config.clone())).connect(name, stream).await
    }

    pub(crate) async fn client(&self, address: SocketAddr) -> Client<Tls> {
        Client { stream: self.dial(address).await.unwrap(), read: Vec::new() }
    }
}

pub(crate) type Tls = TlsStream<TcpStream>;

/// Result of a handshake.
pub(crate) fn agreed(stream: &Tls) -> (Option<ProtocolVersion>, Option<&[u8]>) {
    (stream.get_ref().1.protocol_version(), stream.get_ref().1.alpn_protocol())
}

/// A rig with a TLS port as `address`, the files, and a client that trusts them.
pub(crate) async fn rig(change: impl FnOnce(&mut Config)) -> (Rig, Files, Trust) {
    let (files, port) = (Files::make(), free_port());
    let mut config = files.config(port);
    change(&mut config);
    let mut rig = Rig::with(config).await;
    rig.address.set_port(port);
    let trust = Trust::of(&files);
    (rig, files, trust)
}

/// Starts an edge without cores; returns its certificates or the configuration error.
pub(crate) async fn bind(mut config: Config) -> Result<Option<Certificates>, String> {
    config.listen.set_port(0);
    let cores = Cores::at(&["127.0.0.1:9".to_owned()]).unwrap();
    let edge = Edge::bind(config, cores, Pages::new(), None);
    edge.map(|edge| edge.certificates()).map_err(|error| error.to_string())
}

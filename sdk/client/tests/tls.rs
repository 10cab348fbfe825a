//! Every transport over TLS: bytes seen by the server, and no bytes to a server with an invalid certificate.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../../../core/tests/support/certificate.rs"]
mod certificate;

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use certificate::make_certificate;
use minerva_client::rustls::ServerConfig;
use minerva_client::rustls::crypto::ring::default_provider;
use minerva_client::rustls::pki_types::pem::PemObject;
use minerva_client::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use minerva_client::{Config, Stream, Tls, TransportKind};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

const SOON: Duration = Duration::from_secs(10);

/// A server for `localhost` with a self-signed certificate.
struct Server {
    listener: TcpListener,
    acceptor: TlsAcceptor,
    pem: Vec<u8>,
}

/// ALPN protocol and first bytes of one connection.
type Seen = (Option<String>, String);

impl Server {
    async fn start() -> Self {
        Self::with_certificate(make_certificate).await
    }

    /// A server with the files `cert.pem` and `key.pem` that `make` writes.
    async fn with_certificate(make: impl FnOnce(&Path)) -> Self {
        let directory = tempfile::tempdir().unwrap();
        make(directory.path());
        let pem = std::fs::read(directory.path().join("cert.pem")).unwrap();
        let key = PrivateKeyDer::from_pem_file(directory.path().join("key.pem")).unwrap();
        let certificate = CertificateDer::from_pem_slice(&pem).unwrap();
        let mut config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)
            .unwrap();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self { listener, acceptor: TlsAcceptor::from(Arc::new(config)), pem }
    }

    fn config(&self, host: &str, kind: TransportKind) -> Config {
        let port = self.listener.local_addr().unwrap().port();
        Config::new(format!("{host}:{port}"), kind)
    }

    /// Accepts one connection and reads the first bytes.
    async fn accept(&self) -> std::io::Result<Seen> {
        let (socket, _) = self.listener.accept().await?;
        let mut socket = self.acceptor.accept(socket).await?;
        let protocol = socket.get_ref().1.alpn_protocol();
        let protocol = protocol.map(|name| String::from_utf8_lossy(name).into_owned());
        let mut bytes = [0; 9];
        socket.read_exact(&mut bytes).await?;
        Ok((protocol, String::from_utf8_lossy(&bytes).into_owned()))
    }
}

#[tokio::test]
async fn every_transport_uses_tls() {
    let server = Server::start().await;
    let http = Some("http/1.1".to_owned());
    for (kind, protocol, bytes) in [
        // Without ALPN, a port for all protocols detects raw TCP by the preamble.
        (TransportKind::Tcp, None, "<int32/>\n"),
        (TransportKind::WebSocket, http.clone(), "GET /_min"),
        (TransportKind::HttpStream, http.clone(), "POST /_mi"),
        (TransportKind::LongPoll, http.clone(), "POST /_mi"),
    ] {
        let mut config = server.config("localhost", kind);
        config.tls = Some(Tls::trusting(&server.pem).unwrap());
        let _stream = Stream::connect(config).unwrap();
        let seen = timeout(SOON, server.accept()).await.unwrap().unwrap();
        assert_eq!(seen, (protocol, bytes.to_owned()), "{kind}");
    }
}

#[tokio::test]
async fn no_byte_is_sent_to_a_server_with_an_invalid_certificate() {
    let server = Server::start().await;
    let untrusted = Server::start().await;
    for (host, pem) in [("127.0.0.1", &server.pem), ("localhost", &untrusted.pem)] {
        for kind in TransportKind::ALL {
            let mut config = server.config(host, kind);
            config.tls = Some(Tls::trusting(pem).unwrap());
            let stream = Stream::connect(config).unwrap();
            for _ in 0..2 {
                let seen = timeout(SOON, server.accept()).await.unwrap();
                assert!(seen.is_err(), "{host} over {kind}: {seen:?}");
            }
            assert_eq!(stream.counters().received, 0);
        }
    }
}

/// The error of a client whose certificates are `trusted`, after the server has met one client.
async fn failure(server: &Server, host: &str, trusted: &[u8]) -> String {
    let mut config = server.config(host, TransportKind::Tcp);
    config.tls = Some(Tls::trusting(trusted).unwrap());
    let (opened, _) = tokio::join!(timeout(SOON, Stream::open(config)), server.accept());
    opened.unwrap().unwrap_err().to_string()
}

#[tokio::test]
async fn the_problem_of_a_certificate_is_named_with_the_fix() {
    let (server, other) = (Server::start().await, Server::start().await);
    let text = failure(&server, "127.0.0.1", &server.pem).await;
    assert!(text.contains("another name") && text.contains("localhost"), "{text}");
    let text = failure(&server, "localhost", &other.pem).await;
    assert!(text.contains("Tls::trusting") || text.contains("another authority"), "{text}");
    let authority = Server::with_certificate(|directory| {
        certificate::make_self_signed(directory, &["basicConstraints=critical,CA:TRUE"]);
    });
    let authority = authority.await;
    let text = failure(&authority, "localhost", &authority.pem).await;
    assert!(text.contains("CA:FALSE"), "{text}");
}

#[tokio::test]
async fn a_server_without_tls_is_named() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        socket.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
        let _ = socket.read_to_end(&mut Vec::new()).await;
    });
    let mut config = Config::new(address.to_string(), TransportKind::WebSocket);
    config.tls = Some(Tls::trusting(&Server::start().await.pem).unwrap());
    let error = timeout(SOON, Stream::open(config)).await.unwrap().unwrap_err();
    assert!(error.to_string().contains("does not speak TLS"), "{error}");
    server.abort();
}

#[tokio::test]
async fn the_certificate_of_the_deployment_script_is_accepted() {
    let server = Server::with_certificate(|directory| {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../deploy/certificate");
        let made = Command::new(script).env("CERTIFICATE_DIRECTORY", directory).output().unwrap();
        assert!(made.status.success(), "{made:?}");
    })
    .await;
    for host in ["localhost", "127.0.0.1"] {
        let mut config = server.config(host, TransportKind::Tcp);
        config.tls = Some(Tls::trusting(&server.pem).unwrap());
        let _stream = Stream::connect(config).unwrap();
        let seen = timeout(SOON, server.accept()).await.unwrap().unwrap();
        assert_eq!(seen.1, "<int32/>\n", "{host}");
    }
}

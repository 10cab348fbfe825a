//! Handshakes between a server and clients with certificates of all kinds, and changes of files.

use std::net::SocketAddr;
use std::path::Path;

use rcgen::{
    BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, SanType,
    date_time_ymd,
};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use rustls::pki_types::pem::PemObject;

use super::*;

/// A private CA with a directory for files.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    directory: TempDir,
}

/// A certificate to be made.
struct Leaf<'a> {
    names: &'a [&'a str],
    roles: &'a [&'a str],
    /// Years of the begin and the end of the validity.
    years: (i32, i32),
    usage: ExtendedKeyUsagePurpose,
}

impl<'a> Leaf<'a> {
    fn client(roles: &'a [&'a str]) -> Self {
        let usage = ExtendedKeyUsagePurpose::ClientAuth;
        Self { names: &[], roles, years: (2000, 4000), usage }
    }

    fn server(roles: &'a [&'a str]) -> Self {
        Self { usage: ExtendedKeyUsagePurpose::ServerAuth, ..Self::client(roles) }
    }
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("ca.pem"), params.self_signed(&key).unwrap().pem())
            .unwrap();
        Self { issuer: Issuer::new(params, key), directory }
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Writes certificate and key of `name`.
    fn make(&self, name: &str, leaf: &Leaf<'_>) -> TlsFiles {
        let names: Vec<String> = leaf.names.iter().map(|&name| name.to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        let roles = leaf.roles.iter().map(|&role| SanType::URI(role.try_into().unwrap()));
        params.subject_alt_names.extend(roles);
        params.not_before = date_time_ymd(leaf.years.0, 1, 1);
        params.not_after = date_time_ymd(leaf.years.1, 1, 1);
        params.extended_key_usages = vec![leaf.usage.clone()];
        let key = KeyPair::generate().unwrap();
        let pem = params.signed_by(&key, &self.issuer).unwrap().pem();
        let file = |kind: &str| self.path().join(format!("{name}-{kind}.pem"));
        std::fs::write(file("cert"), pem).unwrap();
        std::fs::write(file("key"), key.serialize_pem()).unwrap();
        TlsFiles { ca: self.path().join("ca.pem"), identity: Some((file("cert"), file("key"))) }
    }

    fn core(&self) -> TlsFiles {
        self.make("core", &Leaf::server(&["minerva:core"]))
    }
}

/// A server that answers a byte; returns the outcomes of handshakes.
async fn serve(
    files: TlsFiles,
    port: Port,
) -> (SocketAddr, TlsServer, tokio::sync::mpsc::UnboundedReceiver<Result<Option<PeerRole>, String>>)
{
    let server = TlsServer::server(files).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (report, outcomes) = tokio::sync::mpsc::unbounded_channel();
    let accepting = server.clone();
    tokio::spawn(async move {
        loop {
            let (socket, _) = listener.accept().await.unwrap();
            match accepting.accept(socket, port).await {
                Ok((mut socket, role)) => {
                    let _ = report.send(Ok(role));
                    tokio::spawn(async move {
                        let mut byte = [0];
                        while socket.read(&mut byte).await.is_ok_and(|count| count > 0) {
                            socket.write_all(&byte).await.unwrap();
                        }
                    });
                }
                Err(error) => drop(report.send(Err(error.to_string()))),
            }
        }
    });
    (address, server, outcomes)
}

/// Connects and exchanges a byte. In TLS 1.3 a client learns of a refused certificate from its first read.
async fn exchange(client: &TlsClient, address: SocketAddr) -> Result<(), String> {
    let connected = client.connect(address, server_name("localhost")).await;
    let mut stream = connected.map_err(|error| error.to_string())?;
    let explained = |error: std::io::Error| explain(&error).unwrap_or_else(|| error.to_string());
    stream.write_all(b"x").await.map_err(explained)?;
    let mut byte = [0];
    stream.read_exact(&mut byte).await.map(|_| ()).map_err(explained)
}

#[tokio::test]
async fn the_server_receives_the_role_of_the_client() {
    let authority = Authority::new();
    let (address, _server, mut outcomes) = serve(authority.core(), Port::Link).await;
    for (uri, role) in [
        ("minerva:edge", PeerRole::Edge),
        ("minerva:app:chat", PeerRole::App("chat".to_owned())),
        ("minerva:core", PeerRole::Core),
        ("minerva:operator", PeerRole::Operator),
    ] {
        let client = TlsClient::client(authority.make("peer", &Leaf::client(&[uri]))).unwrap();
        exchange(&client, address).await.unwrap();
        assert_eq!(outcomes.recv().await.unwrap(), Ok(Some(role.clone())));
        assert_eq!(role.to_string(), uri);
    }
}

#[tokio::test]
async fn a_certificate_without_one_valid_role_is_refused() {
    let authority = Authority::new();
    let (address, _server, mut outcomes) = serve(authority.core(), Port::Api).await;
    for (roles, problem) in [
        (&[][..], "no role"),
        (&["https://example.org"], "no role"),
        (&["minerva:edge", "minerva:core"], "several roles"),
        (&["minerva:root"], "`minerva:root` is no role"),
        (&["minerva:app:"], "`minerva:app:` is no role"),
    ] {
        let client = TlsClient::client(authority.make("peer", &Leaf::client(roles))).unwrap();
        exchange(&client, address).await.unwrap_err();
        let error = outcomes.recv().await.unwrap().unwrap_err();
        assert!(error.contains(problem), "{roles:?}: {error}");
    }
}

#[tokio::test]
async fn a_foreign_and_an_expired_certificate_are_refused_with_the_reason_on_both_sides() {
    let (authority, foreign) = (Authority::new(), Authority::new());
    let (address, _server, mut outcomes) = serve(authority.core(), Port::Link).await;
    let mut files = foreign.make("peer", &Leaf::client(&["minerva:edge"]));
    files.ca = authority.path().join("ca.pem");
    let error = exchange(&TlsClient::client(files).unwrap(), address).await.unwrap_err();
    assert!(error.contains("another CA") && error.contains("--mtls-ca"), "{error}");
    let error = outcomes.recv().await.unwrap().unwrap_err();
    assert!(error.contains("another CA") && error.contains("--mtls-ca"), "{error}");

    // The client does not load an expired certificate; another program may.
    let client = Leaf { years: (2000, 2020), ..Leaf::client(&["minerva:edge"]) };
    let files = authority.make("peer", &client);
    let error = TlsClient::client(files.clone()).unwrap_err().to_string();
    assert!(error.contains("expired") && error.contains("docs/security.md"), "{error}");
    let (certificate, _) = files.identity.unwrap();
    let leaf = rustls::pki_types::CertificateDer::from_pem_file(certificate).unwrap();
    let roots = TlsFiles { ca: authority.path().join("ca.pem"), identity: None }.roots().unwrap();
    let verifier = rustls::server::WebPkiClientVerifier::builder_with_provider(
        roots,
        std::sync::Arc::new(rustls::crypto::ring::default_provider()),
    );
    let now = rustls::pki_types::UnixTime::now();
    let refused = verifier.build().unwrap().verify_client_cert(&leaf, &[], now).unwrap_err();
    let error = HandshakeError::from(std::io::Error::other(refused)).to_string();
    assert!(error.contains("expired") && error.contains("renew"), "{error}");
}

#[tokio::test]
async fn a_link_needs_a_certificate_and_the_api_does_not() {
    let authority = Authority::new();
    let anonymous = TlsFiles { ca: authority.path().join("ca.pem"), identity: None };
    let client = TlsClient::client(anonymous).unwrap();
    let (address, _server, mut outcomes) = serve(authority.core(), Port::Link).await;
    let error = exchange(&client, address).await.unwrap_err();
    assert!(error.contains("--mtls-cert"), "{error}");
    let error = outcomes.recv().await.unwrap().unwrap_err();
    assert!(error.contains("no certificate"), "{error}");
    let (address, _server, mut outcomes) = serve(authority.core(), Port::Api).await;
    exchange(&client, address).await.unwrap();
    assert_eq!(outcomes.recv().await.unwrap(), Ok(None));
}

#[tokio::test]
async fn a_server_is_a_core_or_has_the_dialled_name() {
    let (authority, foreign) = (Authority::new(), Authority::new());
    let client = authority.make("peer", &Leaf::client(&["minerva:edge"]));
    let client = TlsClient::client(client).unwrap();
    let named = |names| Leaf { names, ..Leaf::server(&[]) };
    for (files, problem) in [
        (authority.core(), None),
        (authority.make("named", &named(&["localhost"])), None),
        (authority.make("other", &named(&["other.example"])), Some("not accepted")),
        (authority.make("edge", &Leaf::server(&["minerva:edge"])), Some("not minerva:core")),
        (authority.make("usage", &Leaf::client(&["minerva:core"])), Some("not accepted")),
        (foreign.core(), Some("another CA")),
    ] {
        let (address, ..) = serve(files, Port::Api).await;
        match (exchange(&client, address).await, problem) {
            (Ok(()), None) => {}
            (Err(error), Some(problem)) => assert!(error.contains(problem), "{error}"),
            (outcome, problem) => panic!("{outcome:?} instead of {problem:?}"),
        }
    }
}

#[tokio::test]
async fn plain_text_on_a_port_for_tls_and_the_reverse_are_explained() {
    let authority = Authority::new();
    let (address, _server, mut outcomes) = serve(authority.core(), Port::Api).await;
    for (sent, received) in [
        (&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..], &b"this port needs TLS"[..]),
        (b"GET / HTTP/1.1\r\n\r\n", b"HTTP/1.1 400 Bad Request"),
    ] {
        let mut plain = TcpStream::connect(address).await.unwrap();
        plain.write_all(sent).await.unwrap();
        plain.shutdown().await.unwrap();
        let mut answer = Vec::new();
        plain.read_to_end(&mut answer).await.unwrap();
        let found = answer.windows(received.len()).any(|part| part == received);
        assert!(found, "{}", String::from_utf8_lossy(&answer));
        let error = outcomes.recv().await.unwrap().unwrap_err();
        assert!(error.contains("does not use TLS") && error.contains("MINERVA_MTLS_CA"), "{error}");
    }

    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        socket.write_all(b"\0\0\0\x04\0\0\0\0\0").await.unwrap();
        let _ = socket.read_exact(&mut [0]).await;
    });
    let client = authority.make("peer", &Leaf::client(&["minerva:edge"]));
    let error = exchange(&TlsClient::client(client).unwrap(), address).await.unwrap_err();
    assert!(error.contains("does not use TLS on this port"), "{error}");
}

#[tokio::test]
async fn new_connections_use_changed_files_and_open_connections_stay() {
    let authority = Authority::new();
    let (address, server, _outcomes) = serve(authority.core(), Port::Link).await;
    let client = authority.make("peer", &Leaf::client(&["minerva:edge"]));
    let client = TlsClient::client(client).unwrap();
    let mut open = client.connect(address, server_name("localhost")).await.unwrap();
    let presented = |stream: &tokio_rustls::client::TlsStream<TcpStream>| {
        stream.get_ref().1.peer_certificates().unwrap()[0].to_vec()
    };
    assert!(server.refresh().is_none(), "nothing has changed");
    // Another length, since the clock of a file system may be coarse.
    authority
        .make("core", &Leaf { names: &["long.name.example"], ..Leaf::server(&["minerva:core"]) });
    assert!(matches!(server.refresh(), Some(Ok(()))));
    let renewed = client.connect(address, server_name("localhost")).await.unwrap();
    assert_ne!(presented(&renewed), presented(&open));
    open.write_all(b"x").await.unwrap();
    open.read_exact(&mut [0]).await.unwrap();

    // A half written file is not reported at once; the previous certificate stays in use.
    std::fs::write(authority.path().join("core-cert.pem"), "").unwrap();
    assert!(server.refresh().is_none());
    let error = server.refresh().unwrap().unwrap_err().to_string();
    assert!(error.contains("core-cert.pem contains no certificate"), "{error}");
    assert!(server.refresh().is_none(), "reported twice");
    exchange(&client, address).await.unwrap();
}

#[test]
fn each_broken_file_is_named_with_a_fix() {
    let authority = Authority::new();
    let other = authority.make("other", &Leaf::server(&["minerva:core"]));
    let missing = authority.path().join("missing.pem");
    let text = authority.path().join("text.pem");
    std::fs::write(&text, "no PEM").unwrap();
    let (_, other_key) = other.identity.unwrap();
    let core = authority.core();
    let (certificate, key) = core.identity.clone().unwrap();
    let with = |ca: &Path, certificate: &Path, key: &Path| TlsFiles {
        ca: ca.to_owned(),
        identity: Some((certificate.to_owned(), key.to_owned())),
    };
    let early =
        authority.make("early", &Leaf { years: (3000, 4000), ..Leaf::server(&["minerva:core"]) });
    let expired =
        authority.make("late", &Leaf { years: (2000, 2020), ..Leaf::server(&["minerva:core"]) });
    for (files, option, problem) in [
        (with(&missing, &certificate, &key), "--mtls-ca", "cannot read"),
        (with(&text, &certificate, &key), "--mtls-ca", "contains no certificate"),
        (with(&core.ca, &missing, &key), "--mtls-cert", "cannot read"),
        (with(&core.ca, &text, &key), "--mtls-cert", "contains no certificate"),
        (with(&core.ca, &certificate, &missing), "--mtls-key", "cannot read"),
        (with(&core.ca, &certificate, &text), "--mtls-key", "has no private key"),
        (with(&core.ca, &certificate, &other_key), "--mtls-key", "does not match"),
        (early, "--mtls-cert", "not valid yet"),
        (expired, "--mtls-cert", "expired"),
        (TlsFiles { identity: None, ..core.clone() }, "--mtls-cert", "is missing"),
    ] {
        let error = TlsServer::server(files).unwrap_err().to_string();
        let named = error.starts_with(option) && error.contains("\n  fix: ");
        assert!(named && error.contains(problem), "{option}, {problem}: {error}");
    }
}

#[test]
fn the_options_belong_together() {
    let path = || Some("x".into());
    assert_eq!(TlsFiles::of(None, None, None).unwrap(), None);
    assert!(TlsFiles::of(path(), None, None).unwrap().unwrap().identity.is_none());
    assert!(TlsFiles::of(path(), path(), path()).unwrap().unwrap().identity.is_some());
    for (files, option) in [
        (TlsFiles::of(None, path(), path()), "--mtls-ca"),
        (TlsFiles::of(path(), path(), None), "--mtls-key"),
        (TlsFiles::of(path(), None, path()), "--mtls-cert"),
    ] {
        assert!(files.unwrap_err().to_string().starts_with(option));
    }
}

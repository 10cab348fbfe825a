//! Calls over TLS.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use minerva_app::{Service, StartError, Streams, Tls};
use minerva_runtime::tls::{Port, TlsFiles, TlsServer};
use rcgen::{
    BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, SanType,
};
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream};

use crate::fake_core::FakeCore;

/// A private CA with a directory for its files.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    directory: TempDir,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let directory = tempfile::tempdir().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        std::fs::write(directory.path().join("ca.pem"), pem).unwrap();
        Self { issuer: Issuer::new(params, key), directory }
    }

    fn ca(&self) -> PathBuf {
        self.directory.path().join("ca.pem")
    }

    /// Writes certificate and key of a role.
    fn make(&self, role: &str) -> (PathBuf, PathBuf) {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.subject_alt_names.push(SanType::URI(role.try_into().unwrap()));
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ClientAuth, ExtendedKeyUsagePurpose::ServerAuth];
        let key = KeyPair::generate().unwrap();
        let pem = params.signed_by(&key, &self.issuer).unwrap().pem();
        let file = |kind: &str| self.directory.path().join(role.replace(':', "-") + kind);
        std::fs::write(file(".pem"), pem).unwrap();
        std::fs::write(file("-key.pem"), key.serialize_pem()).unwrap();
        (file(".pem"), file("-key.pem"))
    }

    fn app(&self) -> Tls {
        let (certificate, key) = self.make("minerva:app:default");
        Tls::ca(self.ca()).certificate(certificate, key)
    }

    /// Terminates TLS in front of a scripted core, as a core does on its API port.
    async fn serve(&self, core: &FakeCore) -> String {
        let files = TlsFiles { ca: self.ca(), identity: Some(self.make("minerva:core")) };
        let server = TlsServer::server(files).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let core: SocketAddr = core.address.parse().unwrap();
        tokio::spawn(async move {
            loop {
                let (socket, _) = listener.accept().await.unwrap();
                let server = server.clone();
                tokio::spawn(async move {
                    let Ok((mut app, _)) = server.accept(socket, Port::Api).await else { return };
                    let mut core = TcpStream::connect(core).await.unwrap();
                    let _ = tokio::io::copy_bidirectional(&mut app, &mut core).await;
                });
            }
        });
        address
    }
}

#[tokio::test]
async fn a_service_registers_over_tls() {
    let (authority, mut core) = (Authority::new(), FakeCore::start().await);
    let address = authority.serve(&core).await;
    let start = tokio::spawn(Service::connect(address).tls(authority.app()).start());
    let (call, _) = core.registered().await;
    let mut service = start.await.unwrap().unwrap();
    call.start(1).await;
    assert!(service.accept().await.is_some());
}

#[tokio::test]
async fn neither_plain_text_nor_a_certificate_of_another_ca_reaches_the_core() {
    let (authority, foreign) = (Authority::new(), Authority::new());
    let mut core = FakeCore::start().await;
    let address = authority.serve(&core).await;
    let (certificate, key) = foreign.make("minerva:app:default");
    let stranger = Tls::ca(authority.ca()).certificate(certificate, key);
    let refused = Service::connect(address.as_str()).start().await.unwrap_err().to_string();
    assert!(
        refused.contains("the peer needs TLS") && refused.contains("MINERVA_MTLS_CA"),
        "{refused}"
    );
    let strangers = tokio::spawn(Service::connect(address.as_str()).tls(stranger).start());
    let trusting_another = Service::connect(address.as_str()).tls(foreign.app()).start();
    let trusting_another = tokio::spawn(trusting_another);
    core.not_called().await;
    for start in [strangers, trusting_another] {
        assert!(!start.is_finished(), "the start waits for a core");
        start.abort();
    }
}

#[tokio::test]
async fn unusable_files_are_named_at_the_start() {
    let (authority, core) = (Authority::new(), FakeCore::start().await);
    let missing = Tls::ca(Path::new("/nowhere/ca.pem"));
    let error = Service::connect(&core.address).tls(missing.clone()).start().await.unwrap_err();
    let StartError::Tls { problem } = &error else { panic!("{error}") };
    assert!(problem.contains("/nowhere/ca.pem") && problem.contains("fix: "), "{problem}");
    assert!(Streams::at(&core.address).unwrap().tls(missing).is_err());

    let streams = Streams::at(authority.serve(&core).await).unwrap();
    let streams = streams.tls(authority.app()).unwrap().timeout(Duration::from_secs(1));
    let shown = format!("{streams:?}");
    assert!(shown.contains("Certificates(..)") && !shown.contains("PRIVATE"), "{shown}");
}

//! A private CA and a port that terminates TLS, shared by the tests of the programs that call a core.

use std::net::SocketAddr;
use std::path::Path;

use minerva_runtime::tls::{Port, TlsFiles, TlsServer};
use rcgen::{
    BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, SanType,
    date_time_ymd,
};
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream};

/// A private CA with a directory for its files.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    directory: TempDir,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let directory = tempfile::tempdir().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        std::fs::write(directory.path().join("ca.pem"), pem).unwrap();
        Self { issuer: Issuer::new(params, key), directory }
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Writes certificate and key of a role.
    pub(crate) fn make(&self, role: &str) -> TlsFiles {
        self.make_until(role, 4000)
    }

    /// Writes certificate and key of a role, valid until the begin of a year.
    pub(crate) fn make_until(&self, role: &str, year: i32) -> TlsFiles {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.subject_alt_names.push(SanType::URI(role.try_into().unwrap()));
        params.not_before = date_time_ymd(2000, 1, 1);
        params.not_after = date_time_ymd(year, 1, 1);
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ClientAuth, ExtendedKeyUsagePurpose::ServerAuth];
        let key = KeyPair::generate().unwrap();
        let pem = params.signed_by(&key, &self.issuer).unwrap().pem();
        let name = role.replace(':', "-");
        let file = |kind: &str| self.path().join(format!("{name}-{year}-{kind}.pem"));
        std::fs::write(file("cert"), pem).unwrap();
        std::fs::write(file("key"), key.serialize_pem()).unwrap();
        TlsFiles { ca: self.path().join("ca.pem"), identity: Some((file("cert"), file("key"))) }
    }
}

/// Terminates TLS in front of a scripted core, as a core does on this port.
pub(crate) async fn terminate_tls(files: TlsFiles, port: Port, core: SocketAddr) -> SocketAddr {
    let server = TlsServer::server(files).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (socket, _) = listener.accept().await.unwrap();
            let server = server.clone();
            tokio::spawn(async move {
                let Ok((mut caller, _)) = server.accept(socket, port).await else { return };
                let mut core = TcpStream::connect(core).await.unwrap();
                let _ = tokio::io::copy_bidirectional(&mut caller, &mut core).await;
            });
        }
    });
    address
}

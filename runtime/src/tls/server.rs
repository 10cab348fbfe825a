//! The server's side: ports of a core. Called for each accepted connection.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, OtherError, ServerConfig,
    SignatureScheme,
};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::error::HandshakeError;
use super::files::{CERTIFICATE, TlsFiles, provider};
use super::reload::Reloading;
use super::role::PeerRole;
use crate::ConfigError;

/// Time limit of a handshake.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
/// Time limit of the answer to a client without TLS.
const REFUSAL_TIMEOUT: Duration = Duration::from_secs(1);
/// First byte of a TLS connection: a record of the type `handshake`.
const HANDSHAKE_RECORD: u8 = 22;

/// Port of a core.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Port {
    /// Edges; a client certificate is required.
    Link,
    /// Applications, which present a certificate or a token.
    Api,
    /// Probes and metrics; a certificate is optional.
    Admin,
}

/// Certificates of the ports of a program.
pub type TlsServer = Reloading<ServerConfigs>;

/// One configuration per [`Port`].
#[derive(Debug)]
pub struct ServerConfigs {
    link: Arc<ServerConfig>,
    api: Arc<ServerConfig>,
    admin: Arc<ServerConfig>,
}

impl TlsServer {
    /// Loads the files.
    ///
    /// # Errors
    /// If a file cannot be used, or the certificate is missing.
    pub fn server(files: TlsFiles) -> Result<Self, ConfigError> {
        Self::load(files, ServerConfigs::build)
    }

    /// Performs the handshake of an accepted connection; returns also the role of the client's certificate, `None`
    /// without a certificate. A client without TLS receives an error of its protocol.
    ///
    /// # Errors
    /// If there is no handshake within 5 s, or the client's certificate is not accepted.
    pub async fn accept(
        &self,
        socket: TcpStream,
        port: Port,
    ) -> Result<(Socket, Option<PeerRole>), HandshakeError> {
        let handshake = self.handshake(socket, port);
        timeout(HANDSHAKE_TIMEOUT, handshake).await.unwrap_or(Err(HandshakeError::Incomplete))
    }

    async fn handshake(
        &self,
        socket: TcpStream,
        port: Port,
    ) -> Result<(Socket, Option<PeerRole>), HandshakeError> {
        if !starts_with_tls(&socket).await? {
            refuse_plain_text(socket).await;
            return Err(HandshakeError::PlainText);
        }
        let configs = self.current();
        let config = match port {
            Port::Link => &configs.link,
            Port::Api => &configs.api,
            Port::Admin => &configs.admin,
        };
        let stream = TlsAcceptor::from(Arc::clone(config)).accept(socket).await?;
        let certificate = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
        // The verifier has refused certificates without a role.
        let role = certificate.and_then(|certificate| PeerRole::of_certificate(certificate).ok());
        Ok((Socket::Tls(Box::new(stream)), role))
    }
}

/// Whether the first byte belongs to a TLS handshake. The byte stays in the socket.
pub(crate) async fn starts_with_tls(socket: &TcpStream) -> io::Result<bool> {
    let mut first = [0];
    Ok(socket.peek(&mut first).await? == 1 && first[0] == HANDSHAKE_RECORD)
}

impl ServerConfigs {
    fn build(files: &TlsFiles) -> Result<Self, ConfigError> {
        let Some((chain, key)) = files.identity()? else {
            let fix = "give all three files, ca.pem, cert.pem and key.pem of docs/security.md";
            return Err(ConfigError::new(
                CERTIFICATE,
                "the certificate of the core is missing",
                fix,
            ));
        };
        let roots = files.roots()?;
        let build = |is_required: bool, protocols: &[&[u8]]| {
            let verifier =
                WebPkiClientVerifier::builder_with_provider(Arc::clone(&roots), provider());
            let verifier = if is_required { verifier } else { verifier.allow_unauthenticated() };
            let unusable = |error: &dyn std::fmt::Display| {
                ConfigError::new(super::files::CA, error, "name another CA")
            };
            let verifier = RoleVerifier(verifier.build().map_err(|error| unusable(&error))?);
            let mut config = ServerConfig::builder_with_provider(provider())
                .with_safe_default_protocol_versions()
                .map_err(|error| unusable(&error))?
                .with_client_cert_verifier(Arc::new(verifier))
                .with_single_cert(chain.clone(), key.clone_key())
                .map_err(|error| files.mismatch(&error))?;
            config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
            // A resumed session would skip the check of the certificate.
            config.session_storage = Arc::new(NoServerSessionStorage {});
            config.send_tls13_tickets = 0;
            Ok::<_, ConfigError>(Arc::new(config))
        };
        Ok(Self {
            link: build(true, &[b"h2"])?,
            api: build(false, &[b"h2", b"http/1.1"])?,
            admin: build(false, &[b"http/1.1"])?,
        })
    }
}

/// The verifier of rustls, and a check of the role.
#[derive(Debug)]
struct RoleVerifier(Arc<dyn ClientCertVerifier>);

impl ClientCertVerifier for RoleVerifier {
    fn offer_client_auth(&self) -> bool {
        self.0.offer_client_auth()
    }

    fn client_auth_mandatory(&self) -> bool {
        self.0.client_auth_mandatory()
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.0.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let verified = self.0.verify_client_cert(end_entity, intermediates, now)?;
        PeerRole::of_certificate(end_entity).map_err(|error| {
            Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(error))))
        })?;
        Ok(verified)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, Error> {
        self.0.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, Error> {
        self.0.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}

/// Answer to an HTTP/2 client without TLS: SETTINGS, and GOAWAY with the code `INADEQUATE_SECURITY` (RFC 9113).
const GO_AWAY: &[u8] = b"\0\0\0\x04\0\0\0\0\0\
    \0\0\x1c\x07\0\0\0\0\0\0\0\0\0\0\0\0\x0cthis port needs TLS.";
/// Answer to an HTTP/1 client without TLS.
const BAD_REQUEST: &[u8] =
    b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Type: text/plain\r\n\
    Content-Length: 36\r\n\r\nthis port needs TLS: use https://...";

/// Sends an error and waits for the end of the client's input: unread input would reset the connection before the client
/// has read the error.
async fn refuse_plain_text(mut socket: TcpStream) {
    let _ = timeout(REFUSAL_TIMEOUT, async {
        let mut start = [0; 3];
        let count = socket.read(&mut start).await?;
        let is_http2 = count > 0 && b"PRI".starts_with(&start[..count]);
        socket.write_all(if is_http2 { GO_AWAY } else { BAD_REQUEST }).await?;
        socket.shutdown().await?;
        let mut rest = [0; 1024];
        while socket.read(&mut rest).await? > 0 {}
        io::Result::Ok(())
    })
    .await;
}

/// A connection with or without TLS.
#[derive(Debug)]
pub enum Socket {
    /// Plain TCP.
    Plain(TcpStream),
    /// TLS; boxed, since a `TlsStream` takes a kilobyte.
    Tls(Box<TlsStream<TcpStream>>),
}

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
            Self::Tls(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(stream) => stream.is_write_vectored(),
            Self::Tls(stream) => stream.is_write_vectored(),
        }
    }
}

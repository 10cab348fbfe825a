//! Failed handshakes: problem and fix, for one log line. Used by server and client.
#![allow(
    clippy::wildcard_enum_match_arm,
    reason = "the enums of rustls have many variants and grow"
)]

use std::error::Error;
use std::io;

use rustls::{AlertDescription, CertificateError, Error as TlsError};

const RENEW: &str = "renew it, as docs/security.md shows";
const SAME_CA: &str = "give both programs certificates of one CA (--mtls-ca)";
const GIVE_FILES: &str = "give the peer --mtls-ca, --mtls-cert and --mtls-key (applications: MINERVA_MTLS_CA, \
     MINERVA_MTLS_CERT and MINERVA_MTLS_KEY)";

const NEEDS_TLS: &str = "the peer needs TLS on this port; set --mtls-ca, --mtls-cert and --mtls-key \
     (applications: MINERVA_MTLS_CA, MINERVA_MTLS_CERT and MINERVA_MTLS_KEY)";

/// A connection without a handshake.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HandshakeError {
    /// The peer sent plain text.
    #[error("the peer does not use TLS; {GIVE_FILES}")]
    PlainText,
    /// The handshake took too long, or the peer disconnected.
    #[error("the peer did not complete the handshake")]
    Incomplete,
    /// A TLS error, with a fix.
    #[error("{0}")]
    Tls(String),
}

impl From<io::Error> for HandshakeError {
    fn from(error: io::Error) -> Self {
        tls_error(&error).map_or(Self::Incomplete, |error| Self::Tls(describe(error)))
    }
}

/// Explains the failure of a call or a connection, if TLS is its cause: problem and fix. Reads the chain of sources.
pub fn explain(error: &(dyn Error + 'static)) -> Option<String> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(error) = error.downcast_ref::<TlsError>() {
            return Some(describe(error));
        }
        let reason = error.downcast_ref::<h2::Error>().and_then(h2::Error::reason);
        if reason == Some(h2::Reason::INADEQUATE_SECURITY) {
            return Some(NEEDS_TLS.to_owned());
        }
        // An `io::Error` returns the source of its inner error, not the inner error.
        if let Some(error) = error.downcast_ref::<io::Error>().and_then(tls_error) {
            return Some(describe(error));
        }
        next = error.source();
    }
    None
}

fn tls_error(error: &io::Error) -> Option<&TlsError> {
    let inner = error.get_ref()?;
    inner
        .downcast_ref::<TlsError>()
        .or_else(|| inner.downcast_ref::<io::Error>().and_then(tls_error))
}

fn describe(error: &TlsError) -> String {
    match error {
        TlsError::NoCertificatesPresented => format!("the peer has no certificate; {GIVE_FILES}"),
        TlsError::InvalidCertificate(error) => invalid(error),
        TlsError::InvalidMessage(_) => {
            "the peer does not use TLS on this port; give the core --mtls-ca, --mtls-cert and --mtls-key, or \
             remove these options here"
                .to_owned()
        }
        TlsError::AlertReceived(alert) => format!("the peer refused: {}", alert_problem(*alert)),
        other => format!("the TLS handshake failed: {other}"),
    }
}

fn invalid(error: &CertificateError) -> String {
    match error {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            format!("the certificate of the peer has expired; {RENEW}")
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "the certificate of the peer is not valid yet; set the clocks of both machines"
                .to_owned()
        }
        // A bad signature: another CA of the same name.
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            format!("the certificate of the peer is of another CA; {SAME_CA}")
        }
        CertificateError::Other(other) => format!("{other}"),
        other => format!("the certificate of the peer is not accepted: {other:?}; {SAME_CA}"),
    }
}

fn alert_problem(alert: AlertDescription) -> String {
    match alert {
        AlertDescription::CertificateRequired => {
            "it needs a certificate; set --mtls-cert and --mtls-key".to_owned()
        }
        AlertDescription::CertificateExpired => format!("the certificate has expired; {RENEW}"),
        AlertDescription::UnknownCA | AlertDescription::DecryptError => {
            format!("the certificate is of another CA; {SAME_CA}")
        }
        other => format!("{other:?}; the log of the peer has the reason"),
    }
}

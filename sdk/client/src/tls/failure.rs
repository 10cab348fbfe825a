//! Failures of TLS handshakes as text with the cause and the fix. Pure; called by `tls.rs`.

use std::fmt;

use rustls::{AlertDescription, CertificateError, Error};

/// Failure of the handshake with a server.
#[derive(Debug)]
pub(crate) struct TlsFailure {
    pub(super) host: String,
    pub(super) error: std::io::Error,
}

impl std::error::Error for TlsFailure {}

impl fmt::Display for TlsFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cause = self.error.get_ref().and_then(|cause| cause.downcast_ref::<Error>());
        match cause {
            Some(Error::InvalidCertificate(problem)) => {
                write!(f, "the certificate of {} {}", self.host, explain(problem))
            }
            Some(Error::InvalidMessage(_)) => write!(
                f,
                "{} does not speak TLS on this port: use the port for TLS, or remove `Config::tls`",
                self.host
            ),
            Some(Error::AlertReceived(
                AlertDescription::CertificateRequired
                | AlertDescription::BadCertificate
                | AlertDescription::UnknownCA,
            )) => write!(
                f,
                "{} requires a client certificate: pass one with `Tls::with_config` ({})",
                self.host, self.error
            ),
            Some(_) | None => write!(f, "TLS with {}: {}", self.host, self.error),
        }
    }
}

/// The problem of a certificate and its fix.
#[expect(clippy::wildcard_enum_match_arm, reason = "the other problems have no usual fix")]
fn explain(problem: &CertificateError) -> String {
    match problem {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            format!("is not valid any more ({problem}): renew it, or set the clock of this machine")
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            format!("is not valid yet ({problem}): set the clock of this machine")
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            format!(
                "is for another name ({problem}): connect to a name of the certificate, or make a \
                 certificate with this name as subjectAltName"
            )
        }
        CertificateError::UnknownIssuer => {
            "is signed by an authority that is not trusted: pass the authority, or a self-signed \
             certificate itself, to `Tls::trusting`; the server must send intermediate certificates"
                .to_owned()
        }
        CertificateError::Other(_) if problem.to_string().contains("CaUsedAsEndEntity") => {
            "is the certificate of an authority (CA:TRUE), which a server must not use: make one \
             with basicConstraints CA:FALSE"
                .to_owned()
        }
        CertificateError::BadSignature => {
            "has an invalid signature: another authority of the same name is trusted, or the \
             certificate was changed"
                .to_owned()
        }
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            format!("is not for servers ({problem}): add extendedKeyUsage serverAuth")
        }
        _ => format!("is not accepted: {problem}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(error: Error) -> String {
        let error = std::io::Error::new(std::io::ErrorKind::InvalidData, error);
        TlsFailure { host: "a.example".to_owned(), error }.to_string()
    }

    #[test]
    fn a_failure_names_the_problem_and_the_fix() {
        for (error, expected) in [
            (CertificateError::Expired.into(), "renew"),
            (CertificateError::NotValidYet.into(), "clock"),
            (CertificateError::NotValidForName.into(), "subjectAltName"),
            (CertificateError::UnknownIssuer.into(), "Tls::trusting"),
            (CertificateError::InvalidPurpose.into(), "serverAuth"),
            (Error::InvalidMessage(rustls::InvalidMessage::InvalidContentType), "port"),
            (Error::AlertReceived(AlertDescription::CertificateRequired), "client certificate"),
            (Error::DecryptError, "TLS with a.example"),
        ] {
            let text = text(error);
            assert!(text.contains(expected) && text.contains("a.example"), "{text}");
        }
    }
}

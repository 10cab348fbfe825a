//! The role of a program, read from the SAN of its verified certificate. Used by the verifiers of server and client.

use std::fmt;
use std::str::FromStr;

use rustls::pki_types::CertificateDer;
use x509_parser::extensions::GeneralName;
use x509_parser::parse_x509_certificate;

/// Scheme of the URI with the role.
const SCHEME: &str = "minerva:";

/// Role of a program, from the URI in the SAN of its verified certificate.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum PeerRole {
    /// `minerva:edge`: an edge.
    Edge,
    /// `minerva:app:SERVICE`: an application that serves this service.
    App(String),
    /// `minerva:core`: a core.
    Core,
    /// `minerva:operator`: an operator, with all rights.
    Operator,
}

/// A certificate without one valid role.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RoleError {
    /// The certificate cannot be parsed.
    #[error("the certificate cannot be parsed; make it again, as docs/security.md shows")]
    Malformed,
    /// No URI of the scheme `minerva:`.
    #[error(
        "the certificate has no role; its subject alternative name needs one URI such as minerva:edge \
         (docs/security.md shows how)"
    )]
    Missing,
    /// More than one role.
    #[error("the certificate has several roles; make one certificate per role")]
    Several,
    /// An unknown role.
    #[error(
        "`{0}` is no role; use minerva:edge, minerva:app:SERVICE, minerva:core or minerva:operator"
    )]
    Unknown(String),
}

impl PeerRole {
    /// Reads the role of a certificate. The caller has verified the certificate.
    ///
    /// # Errors
    /// If the certificate does not have exactly one role.
    pub fn of_certificate(certificate: &CertificateDer<'_>) -> Result<Self, RoleError> {
        let (_, parsed) = parse_x509_certificate(certificate).map_err(|_| RoleError::Malformed)?;
        let names = parsed.subject_alternative_name().map_err(|_| RoleError::Malformed)?;
        let names = names.map(|extension| extension.value.general_names.as_slice());
        let role = |name: &GeneralName<'_>| {
            let GeneralName::URI(uri) = name else { return None };
            uri.starts_with(SCHEME).then(|| (*uri).to_owned())
        };
        let mut roles = names.unwrap_or_default().iter().filter_map(role);
        match (roles.next(), roles.next()) {
            (None, _) => Err(RoleError::Missing),
            (Some(role), None) => role.parse(),
            (Some(_), Some(_)) => Err(RoleError::Several),
        }
    }
}

impl FromStr for PeerRole {
    type Err = RoleError;

    fn from_str(uri: &str) -> Result<Self, RoleError> {
        let unknown = || RoleError::Unknown(uri.chars().take(80).collect());
        match uri.strip_prefix(SCHEME).ok_or_else(unknown)? {
            "edge" => Ok(Self::Edge),
            "core" => Ok(Self::Core),
            "operator" => Ok(Self::Operator),
            role => match role.strip_prefix("app:") {
                Some(service) if !service.is_empty() => Ok(Self::App(service.to_owned())),
                _ => Err(unknown()),
            },
        }
    }
}

impl fmt::Display for PeerRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Edge => write!(f, "{SCHEME}edge"),
            Self::App(service) => write!(f, "{SCHEME}app:{service}"),
            Self::Core => write!(f, "{SCHEME}core"),
            Self::Operator => write!(f, "{SCHEME}operator"),
        }
    }
}

/// Returns the first and the last second of a certificate's validity, in seconds since 1970; `None` if the certificate
/// cannot be parsed.
pub fn validity(certificate: &CertificateDer<'_>) -> Option<(i64, i64)> {
    let (_, parsed) = parse_x509_certificate(certificate).ok()?;
    let validity = parsed.validity();
    Some((validity.not_before.timestamp(), validity.not_after.timestamp()))
}

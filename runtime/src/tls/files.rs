//! The PEM files of one program: its certificate chain and key, and the CA of its peers. Read at the start and after each
//! change.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use rustls::RootCertStore;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};

use super::role::validity;
use crate::ConfigError;

/// Option names, for errors.
pub(super) const CA: &str = "--mtls-ca (MINERVA_MTLS_CA)";
pub(super) const CERTIFICATE: &str = "--mtls-cert (MINERVA_MTLS_CERT)";
pub(super) const KEY: &str = "--mtls-key (MINERVA_MTLS_KEY)";

const RENEW: &str = "make a new one, as docs/security.md shows";

/// Paths of the CA of the peers, and of the own certificate with its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// PEM file with the certificates of the CA.
    pub ca: PathBuf,
    /// PEM files with the own certificate chain and its private key; `None`: a client without a certificate.
    pub identity: Option<(PathBuf, PathBuf)>,
}

/// Certificate chain and private key.
pub(super) type Identity = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

/// Modification time and length of each file; `None` if the file cannot be read.
pub(super) type Stamp = Vec<Option<(SystemTime, u64)>>;

impl TlsFiles {
    /// The files of the options; `None` if all are omitted. A certificate needs its key and the CA.
    ///
    /// # Errors
    /// If one of the options is missing.
    pub fn of(
        ca: Option<PathBuf>,
        certificate: Option<PathBuf>,
        key: Option<PathBuf>,
    ) -> Result<Option<Self>, ConfigError> {
        let missing = |option: &str, file: &str| {
            let fix = "give all three files, ca.pem, cert.pem and key.pem of docs/security.md";
            Err(ConfigError::new(option, format!("{file} is missing"), fix))
        };
        match (ca, certificate, key) {
            (None, None, None) => Ok(None),
            (Some(ca), None, None) => Ok(Some(Self { ca, identity: None })),
            (Some(ca), Some(certificate), Some(key)) => {
                Ok(Some(Self { ca, identity: Some((certificate, key)) }))
            }
            (None, _, _) => missing(CA, "the certificate of the CA"),
            (Some(_), Some(_), None) => missing(KEY, "the private key of the certificate"),
            (Some(_), None, Some(_)) => missing(CERTIFICATE, "the certificate of the private key"),
        }
    }

    /// The files of the environment variables `MINERVA_MTLS_CA`, `MINERVA_MTLS_CERT` and `MINERVA_MTLS_KEY`; `None` if all
    /// are unset or empty.
    ///
    /// # Errors
    /// If one of the variables is missing.
    pub fn from_env() -> Result<Option<Self>, ConfigError> {
        let path = |name| std::env::var_os(name).filter(|path| !path.is_empty()).map(PathBuf::from);
        Self::of(path("MINERVA_MTLS_CA"), path("MINERVA_MTLS_CERT"), path("MINERVA_MTLS_KEY"))
    }

    /// Reads the certificates of the CA.
    pub(super) fn roots(&self) -> Result<Arc<RootCertStore>, ConfigError> {
        let fix = "name the PEM file of the CA that signed the certificates of the peers";
        let mut roots = RootCertStore::empty();
        for certificate in certificates(CA, &self.ca, fix)? {
            roots.add(certificate).map_err(|error| {
                let problem = format!("{} has no usable CA: {error}", self.ca.display());
                ConfigError::new(CA, problem, fix)
            })?;
        }
        Ok(Arc::new(roots))
    }

    /// Reads the own certificate chain and key; `None` for a client without a certificate.
    pub(super) fn identity(&self) -> Result<Option<Identity>, ConfigError> {
        let Some((certificate, key)) = &self.identity else { return Ok(None) };
        let fix =
            "name the PEM file of this program's certificate, then the intermediate certificates";
        let chain = certificates(CERTIFICATE, certificate, fix)?;
        if let Some(leaf) = chain.first() {
            check_validity(certificate, leaf)?;
        }
        let key_der = PrivateKeyDer::from_pem_slice(&read(KEY, key)?).map_err(|error| {
            let problem = format!("{} has no private key: {error}", key.display());
            ConfigError::new(KEY, problem, "name a PEM file with a private key without a password")
        })?;
        Ok(Some((chain, key_der)))
    }

    /// The error of a key that does not belong to the certificate.
    pub(super) fn mismatch(&self, error: &rustls::Error) -> ConfigError {
        let (certificate, key) = self.identity.clone().unwrap_or_default();
        let (certificate, key) = (certificate.display(), key.display());
        let problem = format!("{key} does not match {certificate}: {error}");
        ConfigError::new(KEY, problem, "name the private key of the certificate")
    }

    /// The present state of the files, to notice a change.
    pub(super) fn stamp(&self) -> Stamp {
        let identity = self.identity.iter().flat_map(|(certificate, key)| [certificate, key]);
        let state = |path: &PathBuf| {
            let metadata = std::fs::metadata(path).ok()?;
            Some((metadata.modified().ok()?, metadata.len()))
        };
        std::iter::once(&self.ca).chain(identity).map(state).collect()
    }
}

/// The only provider of this project, named explicitly: rustls panics if several are linked and none is named.
pub(super) fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

fn check_validity(path: &Path, leaf: &CertificateDer<'_>) -> Result<(), ConfigError> {
    let wrong = |problem: String| ConfigError::new(CERTIFICATE, problem, RENEW);
    let Some((begins, ends)) = validity(leaf) else {
        return Err(wrong(format!("{} cannot be parsed", path.display())));
    };
    let now = i64::try_from(UnixTime::now().as_secs()).unwrap_or(i64::MAX);
    if now > ends {
        let ago = (now - ends) / 3600;
        return Err(wrong(format!("the certificate in {} expired {ago} h ago", path.display())));
    }
    if now < begins {
        let problem = format!("the certificate in {} is not valid yet", path.display());
        return Err(ConfigError::new(CERTIFICATE, problem, "set the clock of this machine"));
    }
    Ok(())
}

fn certificates(
    option: &str,
    path: &Path,
    fix: &str,
) -> Result<Vec<CertificateDer<'static>>, ConfigError> {
    let pem = read(option, path)?;
    let path = path.display();
    match CertificateDer::pem_slice_iter(&pem).collect::<Result<Vec<_>, _>>() {
        Ok(chain) if !chain.is_empty() => Ok(chain),
        Ok(_) => Err(ConfigError::new(option, format!("{path} contains no certificate"), fix)),
        Err(error) => {
            Err(ConfigError::new(option, format!("{path} cannot be parsed: {error}"), fix))
        }
    }
}

fn read(option: &str, path: &Path) -> Result<Vec<u8>, ConfigError> {
    std::fs::read(path).map_err(|error| {
        let problem = format!("cannot read {}: {error}", path.display());
        ConfigError::new(option, problem, "name a file that the user of this program may read")
    })
}

//! The options for the certificates of a program. Flattened into the options of core and edge.

use std::path::PathBuf;

use super::files::TlsFiles;
use crate::ConfigError;

/// Certificates of the connections between the programs of a deployment.
#[derive(Debug, Clone, Default, clap::Args)]
#[group(id = "mtls")]
pub struct MtlsOptions {
    /// PEM file of the CA that signs the certificates of cores, edges and applications. With this option and the next two,
    /// the connections between these programs use TLS, and both sides present a certificate:
    /// docs/security.md. Changed files are loaded without a restart.
    #[arg(long, env = "MINERVA_MTLS_CA", value_name = "FILE", help_heading = "Security")]
    pub mtls_ca: Option<PathBuf>,

    /// PEM file with the certificate of this program.
    #[arg(long, env = "MINERVA_MTLS_CERT", value_name = "FILE", help_heading = "Security")]
    pub mtls_cert: Option<PathBuf>,

    /// PEM file with the private key of this program.
    #[arg(long, env = "MINERVA_MTLS_KEY", value_name = "FILE", help_heading = "Security")]
    pub mtls_key: Option<PathBuf>,
}

impl MtlsOptions {
    /// The files; `None` if the options are omitted.
    ///
    /// # Errors
    /// If one of the options is missing.
    pub fn files(&self) -> Result<Option<TlsFiles>, ConfigError> {
        TlsFiles::of(self.mtls_ca.clone(), self.mtls_cert.clone(), self.mtls_key.clone())
    }
}

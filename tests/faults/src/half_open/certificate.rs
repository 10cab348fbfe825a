//! A self-signed certificate for the TLS ports of a run, created by openssl.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, ensure};

/// Creates certificate and key in a directory.
pub(super) fn create(directory: &Path) -> anyhow::Result<[PathBuf; 2]> {
    let [certificate, key] = ["certificate.pem", "key.pem"].map(|name| directory.join(name));
    let status = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"])
        .args(["-nodes", "-days", "2", "-subj", "/CN=localhost", "-out"])
        .arg(&certificate)
        .arg("-keyout")
        .arg(&key)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .context("openssl is missing")?;
    ensure!(status.success(), "openssl cannot create a certificate: {status}");
    Ok([certificate, key])
}

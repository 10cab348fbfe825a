//! A test certificate, shared with the tests of the Rust client.

use std::path::Path;
use std::process::Command;

/// Writes `key.pem` and a self-signed `cert.pem` for localhost.
pub(crate) fn make_certificate(directory: &Path) {
    make_self_signed(directory, &["basicConstraints=critical,CA:FALSE"]);
}

/// Writes `key.pem` and a self-signed `cert.pem` for localhost with extensions.
pub(crate) fn make_self_signed(directory: &Path, extensions: &[&str]) {
    let extensions = extensions.iter().flat_map(|extension| ["-addext", extension]);
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=test"])
        .args(["-addext", "subjectAltName=DNS:localhost"])
        .args(extensions)
        .args(["-keyout", "key.pem", "-out", "cert.pem"])
        .current_dir(directory)
        .output()
        .expect("openssl is installed: apt-get install openssl");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
}

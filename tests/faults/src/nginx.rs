//! The configuration of `deploy/nginx`, adapted for an nginx on this machine: only ports, paths and addresses are
//! replaced, and nginx runs as a single process.
//!
//! `hostile` and the benchmarks put nginx between their clients and the edges.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use anyhow::{Context as _, ensure};

use crate::process::Process;

/// The main configuration.
const MAIN: &str = include_str!("../../../deploy/nginx/nginx.conf");
/// The locations of an HTTP server.
pub const LOCATIONS: &str = include_str!("../../../deploy/nginx/locations.conf");
const EDGES: &str = include_str!("../../../deploy/nginx/edges.static.conf.example");
const HTTP_SERVER: &str = include_str!("../../../deploy/nginx/http.d/plain.conf");

/// Writes the files of a configuration, whose main file is `nginx.conf`, and describes the nginx process.
///
/// # Errors
/// If a file cannot be written.
pub fn describe(directory: &Path, files: &[(&str, String)]) -> anyhow::Result<Process> {
    fs::create_dir_all(directory.join("tmp")).context("no directory for nginx")?;
    for (name, text) in files {
        let path = directory.join(name);
        let parent = path.parent().context("a file without a directory")?;
        fs::create_dir_all(parent).context("no directory for nginx")?;
        fs::write(&path, text).with_context(|| format!("cannot write {name}"))?;
    }
    let configuration = directory.join("nginx.conf").into_os_string();
    let alone = "daemon off; master_process off;".into();
    let arguments = vec!["-c".into(), configuration, "-g".into(), alone];
    Ok(Process::new("nginx", "nginx".into(), arguments, directory.join("nginx.log")))
}

/// The main configuration for this directory, with the log on the output for the readiness check.
///
/// # Errors
/// If `deploy/nginx` lacks an expected text.
pub fn main(directory: &Path) -> anyhow::Result<String> {
    let place = directory.to_str().context("a path that is not UTF-8")?;
    let text = replaced(MAIN, "/dev/stderr warn", "/dev/stdout notice")?;
    replaced(&text, "/tmp/", &format!("{place}/tmp/"))
}

/// An HTTP server at this address.
///
/// # Errors
/// If `deploy/nginx` lacks an expected text.
pub fn http_server(listen: SocketAddr) -> anyhow::Result<String> {
    replaced(HTTP_SERVER, "listen 8080 ", &format!("listen {listen} "))
}

/// The upstream block with this name, and with these servers instead of the example's.
///
/// # Errors
/// If `deploy/nginx` lacks an expected text.
pub fn upstream(name: &str, servers: &[SocketAddr]) -> anyhow::Result<String> {
    let text = replaced(EDGES, "minerva_edges", name)?;
    let (mut lines, mut rest) = (String::new(), servers.iter());
    for line in text.lines() {
        let Some((before, after)) = line.split_once("server 10.") else {
            lines += &format!("{line}\n");
            continue;
        };
        // All servers replace the first entry.
        let (_, options) =
            after.split_once(' ').context("an edge without options in deploy/nginx")?;
        rest.by_ref().for_each(|server| lines += &format!("{before}server {server} {options}\n"));
    }
    Ok(lines)
}

/// Replaces a text.
///
/// # Errors
/// If the text is missing, since the configuration has changed then.
pub fn replaced(text: &str, from: &str, to: &str) -> anyhow::Result<String> {
    ensure!(text.contains(from), "deploy/nginx no longer has {from:?}: update nginx.rs");
    Ok(text.replace(from, to))
}

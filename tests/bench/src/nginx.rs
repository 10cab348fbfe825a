//! nginx in front of the edges and the bare server, with the configuration of `deploy/nginx`.
//!
//! Only ports, paths and addresses are replaced, and nginx runs as a single process, so that its CPU time is
//! measurable.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use anyhow::Context as _;
use minerva_faults::process::Process;

const PROGRAM: &str = "nginx";
const MAIN: &str = include_str!("../../../deploy/nginx/nginx.conf");
const LOCATIONS: &str = include_str!("../../../deploy/nginx/locations.conf");
const SERVER: &str = include_str!("../../../deploy/nginx/http.d/plain.conf");
const EDGES: &str = include_str!("../../../deploy/nginx/edges.static.conf.example");

/// Writes the configuration into a directory and describes the nginx process.
///
/// # Errors
/// If a file cannot be written or `deploy/nginx` lacks an expected text.
pub(crate) fn describe(
    directory: &Path,
    [minerva, bare]: [SocketAddr; 2],
    edges: &[SocketAddr],
    bare_server: SocketAddr,
) -> anyhow::Result<Process> {
    let place = directory.to_str().context("a path that is not UTF-8")?;
    for below in ["tmp", "http.d"] {
        fs::create_dir_all(directory.join(below)).context("no directory for nginx")?;
    }
    let files = [
        ("nginx.conf", main(place)?),
        ("locations.conf", LOCATIONS.to_owned()),
        ("bare.locations.conf", LOCATIONS.replace("$minerva_edges", "$bare_server")),
        (
            "edges.http.conf",
            upstream("minerva_edges", edges)? + &upstream("bare_server", &[bare_server])?,
        ),
        ("http.d/minerva.conf", server(minerva)?),
        ("http.d/bare.conf", server(bare)?.replace("locations.conf", "bare.locations.conf")),
    ];
    for (name, text) in files {
        fs::write(directory.join(name), text).with_context(|| format!("cannot write {name}"))?;
    }
    let configuration = directory.join("nginx.conf").into_os_string();
    let alone = "daemon off; master_process off;".into();
    let arguments = vec!["-c".into(), configuration, "-g".into(), alone];
    Ok(Process::new("nginx", PROGRAM.into(), arguments, directory.join("nginx.log")))
}

/// The main configuration without raw TCP, with the log on the output for the readiness check.
fn main(place: &str) -> anyhow::Result<String> {
    let (http, _) =
        MAIN.split_once("\nstream {").context("deploy/nginx/nginx.conf has no stream part")?;
    let text = replaced(http, "/dev/stderr warn", "/dev/stdout notice")?;
    replaced(&text, "/tmp/", &format!("{place}/tmp/"))
}

fn server(listen: SocketAddr) -> anyhow::Result<String> {
    replaced(SERVER, "listen 8080 ", &format!("listen {listen} "))
}

/// An upstream block with these servers instead of the example's.
fn upstream(name: &str, servers: &[SocketAddr]) -> anyhow::Result<String> {
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

/// Replaces a text. Returns an error if the text is missing, since the configuration has changed then.
fn replaced(text: &str, from: &str, to: &str) -> anyhow::Result<String> {
    anyhow::ensure!(text.contains(from), "deploy/nginx no longer has {from:?}: update nginx.rs");
    Ok(text.replace(from, to))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_project_configuration_can_be_adapted() {
        let [one, two, bare] = [1, 2, 3].map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
        let edges = upstream("minerva_edges", &[one, two]).unwrap();
        assert!(
            edges.contains("server 127.0.0.1:1 max_fails")
                && edges.contains("server 127.0.0.1:2 max_fails")
        );
        assert!(!edges.lines().any(|line| line.trim_start().starts_with("server 10.")));
        assert!(
            upstream("bare_server", &[bare])
                .unwrap()
                .contains("$bare_server { default bare_server; }")
        );
        assert!(server(one).unwrap().contains("listen 127.0.0.1:1 backlog"));
        let main = main("/here").unwrap();
        assert!(main.contains("/here/tmp/nginx.pid") && !main.contains("stream.d"));
        assert!(LOCATIONS.contains("http://$minerva_edges"));
    }
}

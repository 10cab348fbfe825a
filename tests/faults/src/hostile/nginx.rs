//! nginx between the clients of `hostile` and the edges, with the configuration of `deploy/nginx`. Only ports, paths and
//! addresses are replaced, and nginx runs as a single process.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use anyhow::{Context as _, ensure};

use crate::fleet::EdgeAddresses;
use crate::process::Process;

const MAIN: &str = include_str!("../../../../deploy/nginx/nginx.conf");
const LOCATIONS: &str = include_str!("../../../../deploy/nginx/locations.conf");
const EDGES: &str = include_str!("../../../../deploy/nginx/edges.static.conf.example");
const TCP: &str = include_str!("../../../../deploy/nginx/tcp.conf");
const HTTP_SERVER: &str = include_str!("../../../../deploy/nginx/http.d/plain.conf");
const TCP_SERVER: &str = include_str!("../../../../deploy/nginx/stream.d/tcp.conf");

/// Writes the configuration into a directory; nginx listens on these addresses for HTTP and for raw TCP.
pub(super) fn describe(
    directory: &Path,
    [http, tcp]: [SocketAddr; 2],
    edges: &[EdgeAddresses],
) -> anyhow::Result<Process> {
    let place = directory.to_str().context("a path that is not UTF-8")?;
    for below in ["tmp", "http.d", "stream.d"] {
        fs::create_dir_all(directory.join(below)).context("no directory for nginx")?;
    }
    let clients: Vec<_> = edges.iter().map(|edge| edge.clients).collect();
    let proxy: Vec<_> = edges.iter().filter_map(|edge| edge.proxy).collect();
    // TCP streams reuse no connections.
    let streams = upstream(&proxy)?.replace("minerva_edges", "minerva_tcp");
    let streams = streams.lines().filter(|line| !line.contains("keepalive")).collect::<Vec<_>>();
    let files = [
        ("nginx.conf", main(place)?),
        ("locations.conf", LOCATIONS.to_owned()),
        ("tcp.conf", TCP.to_owned()),
        ("edges.http.conf", upstream(&clients)?),
        ("edges.stream.conf", streams.join("\n")),
        ("http.d/plain.conf", replaced(HTTP_SERVER, "listen 8080 ", &format!("listen {http} "))?),
        ("stream.d/tcp.conf", replaced(TCP_SERVER, "listen 8081 ", &format!("listen {tcp} "))?),
    ];
    for (name, text) in files {
        fs::write(directory.join(name), text).with_context(|| format!("cannot write {name}"))?;
    }
    let configuration = directory.join("nginx.conf").into_os_string();
    let alone = "daemon off; master_process off;".into();
    let arguments = vec!["-c".into(), configuration, "-g".into(), alone];
    Ok(Process::new("nginx", "nginx".into(), arguments, directory.join("nginx.log")))
}

/// The main configuration, with the log on the output for the readiness check.
fn main(place: &str) -> anyhow::Result<String> {
    let text = replaced(MAIN, "/dev/stderr warn", "/dev/stdout notice")?;
    replaced(&text, "/tmp/", &format!("{place}/tmp/"))
}

/// The upstream block with these servers instead of the example's.
fn upstream(servers: &[SocketAddr]) -> anyhow::Result<String> {
    let (mut lines, mut rest) = (String::new(), servers.iter());
    for line in EDGES.lines() {
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
    ensure!(text.contains(from), "deploy/nginx no longer has {from:?}: update nginx.rs");
    Ok(text.replace(from, to))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_configuration_of_the_project_can_be_adapted() {
        let directory = tempfile::tempdir().unwrap();
        let [a, b, c, d] = [1, 2, 3, 4].map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
        let edge = EdgeAddresses { clients: c, admin: a, proxy: Some(d), tls: None };
        describe(directory.path(), [a, b], &[edge]).unwrap();
        let read = |name: &str| fs::read_to_string(directory.path().join(name)).unwrap();
        assert!(read("edges.http.conf").contains("server 127.0.0.1:3 "));
        let streams = read("edges.stream.conf");
        assert!(streams.contains("server 127.0.0.1:4 ") && streams.contains("$minerva_tcp"));
        assert!(!streams.contains("keepalive") && !streams.contains("minerva_edges"));
        assert!(read("http.d/plain.conf").contains("listen 127.0.0.1:1 "));
        assert!(read("stream.d/tcp.conf").contains("listen 127.0.0.1:2 "));
    }
}

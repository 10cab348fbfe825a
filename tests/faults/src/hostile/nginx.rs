//! nginx between the clients of `hostile` and the edges, for HTTP and raw TCP.

use std::net::SocketAddr;
use std::path::Path;

use crate::fleet::EdgeAddresses;
use crate::nginx;
use crate::process::Process;

const TCP: &str = include_str!("../../../../deploy/nginx/tcp.conf");
const TCP_SERVER: &str = include_str!("../../../../deploy/nginx/stream.d/tcp.conf");

/// Writes the configuration into a directory; nginx listens on these addresses for HTTP and for raw TCP.
pub(super) fn describe(
    directory: &Path,
    [http, tcp]: [SocketAddr; 2],
    edges: &[EdgeAddresses],
) -> anyhow::Result<Process> {
    let clients: Vec<_> = edges.iter().map(|edge| edge.clients).collect();
    let proxy: Vec<_> = edges.iter().filter_map(|edge| edge.proxy).collect();
    // TCP streams reuse no connections.
    let streams = nginx::upstream("minerva_tcp", &proxy)?;
    let streams = streams.lines().filter(|line| !line.contains("keepalive")).collect::<Vec<_>>();
    let tcp_server = nginx::replaced(TCP_SERVER, "listen 8081 ", &format!("listen {tcp} "))?;
    let files = [
        ("nginx.conf", nginx::main(directory)?),
        ("locations.conf", nginx::LOCATIONS.to_owned()),
        ("tcp.conf", TCP.to_owned()),
        ("edges.http.conf", nginx::upstream("minerva_edges", &clients)?),
        ("edges.stream.conf", streams.join("\n")),
        ("http.d/plain.conf", nginx::http_server(http)?),
        ("stream.d/tcp.conf", tcp_server),
    ];
    nginx::describe(directory, &files)
}

#[cfg(test)]
mod tests {
    use std::fs;

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

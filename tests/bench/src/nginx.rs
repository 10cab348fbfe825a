//! nginx in front of the edges and the bare server. A single process, so that its CPU time is measurable.

use std::net::SocketAddr;
use std::path::Path;

use anyhow::Context as _;
use minerva_faults::nginx;
use minerva_faults::process::Process;

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
    let upstreams =
        nginx::upstream("minerva_edges", edges)? + &nginx::upstream("bare_server", &[bare_server])?;
    let bare = nginx::http_server(bare)?.replace("locations.conf", "bare.locations.conf");
    let files = [
        ("nginx.conf", main(directory)?),
        ("locations.conf", nginx::LOCATIONS.to_owned()),
        ("bare.locations.conf", nginx::LOCATIONS.replace("$minerva_edges", "$bare_server")),
        ("edges.http.conf", upstreams),
        ("http.d/minerva.conf", nginx::http_server(minerva)?),
        ("http.d/bare.conf", bare),
    ];
    nginx::describe(directory, &files)
}

/// The main configuration without raw TCP.
fn main(directory: &Path) -> anyhow::Result<String> {
    let text = nginx::main(directory)?;
    let (http, _) =
        text.split_once("\nstream {").context("deploy/nginx/nginx.conf has no stream part")?;
    Ok(http.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_project_configuration_can_be_adapted() {
        let [one, two, bare] = [1, 2, 3].map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
        let edges = nginx::upstream("minerva_edges", &[one, two]).unwrap();
        assert!(
            edges.contains("server 127.0.0.1:1 max_fails")
                && edges.contains("server 127.0.0.1:2 max_fails")
        );
        assert!(!edges.lines().any(|line| line.trim_start().starts_with("server 10.")));
        assert!(
            nginx::upstream("bare_server", &[bare])
                .unwrap()
                .contains("$bare_server { default bare_server; }")
        );
        assert!(nginx::http_server(one).unwrap().contains("listen 127.0.0.1:1 backlog"));
        let main = main(Path::new("/here")).unwrap();
        assert!(main.contains("/here/tmp/nginx.pid") && !main.contains("stream.d"));
        assert!(nginx::LOCATIONS.contains("http://$minerva_edges"));
    }
}

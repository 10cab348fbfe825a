//! A TCP balancer in front of the edges: round robin, with the next edge as a fallback for a refused connection. The
//! transports of one stream therefore use different edges.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::Context as _;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};

use crate::source_address::Sources;

/// Listens on a free local port, for the rest of the process.
pub(crate) async fn start(edges: Vec<SocketAddr>, sources: Sources) -> anyhow::Result<SocketAddr> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.context("no port to listen on")?;
    let address = listener.local_addr().context("no local address")?;
    let edges = Arc::new((edges, AtomicUsize::new(0)));
    tokio::spawn(async move {
        loop {
            // A failed accept affects that connection only.
            let Ok((client, _)) = listener.accept().await else { continue };
            let edges = Arc::clone(&edges);
            tokio::spawn(async move { pass(client, &edges.0, &edges.1, sources).await });
        }
    });
    Ok(address)
}

/// Forwards one connection to the end; drops it if all edges refuse.
async fn pass(mut client: TcpStream, edges: &[SocketAddr], turn: &AtomicUsize, sources: Sources) {
    let first = turn.fetch_add(1, Ordering::Relaxed);
    for offset in 0..edges.len() {
        let edge = edges[(first + offset) % edges.len()];
        let Ok(mut edge) = sources.connect(first, edge).await else { continue };
        let _ = (client.set_nodelay(true), edge.set_nodelay(true));
        // A killed edge causes an error here, and both sockets are dropped.
        let _ = copy_bidirectional(&mut client, &mut edge).await;
        return;
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    /// Sends its name on each connection, then closes.
    async fn edge(name: &'static [u8]) -> (SocketAddr, tokio::task::JoinHandle<()>) {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let task = tokio::spawn(async move {
            while let Ok((mut socket, _)) = listener.accept().await {
                let _ = socket.write_all(name).await;
            }
        });
        (address, task)
    }

    async fn request(address: SocketAddr) -> String {
        let mut answer = String::new();
        let mut socket = TcpStream::connect(address).await.unwrap();
        let _ = socket.read_to_string(&mut answer).await;
        answer
    }

    #[tokio::test]
    async fn connections_rotate_and_skip_failed_edges() {
        let ((a, _a), (b, b_task)) = (edge(b"a").await, edge(b"b").await);
        let balancer = start(vec![a, b], Sources::default()).await.unwrap();
        let mut answers = [request(balancer).await, request(balancer).await];
        answers.sort();
        assert_eq!(answers, ["a", "b"]);
        b_task.abort();
        let _ = b_task.await;
        assert_eq!([request(balancer).await, request(balancer).await], ["a", "a"]);
    }

    #[tokio::test]
    async fn without_an_edge_the_connection_is_closed() {
        let (a, task) = edge(b"a").await;
        task.abort();
        let _ = task.await;
        let balancer = start(vec![a], Sources::default()).await.unwrap();
        assert_eq!(request(balancer).await, "");
    }
}

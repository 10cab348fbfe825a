//! Connections from chosen loopback addresses, each of which is a client of its own for the limits per address. Used by
//! the balancer and by hostile clients.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use tokio::net::{TcpSocket, TcpStream};

/// A range of source addresses.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sources {
    /// The second byte of the addresses 127.X.0.0/16; the system's choice for 0.
    network: u8,
    /// Number of addresses.
    count: usize,
}

impl Default for Sources {
    /// The system's choice.
    fn default() -> Self {
        Self { network: 0, count: 1 }
    }
}

impl Sources {
    /// The first `count` host addresses of 127.`network`.0.0/16, which is not 127.0.0.0/16.
    pub(crate) fn of(network: u8, count: usize) -> Self {
        Self { network, count: count.max(1) }
    }

    /// The address of a client.
    fn address(self, client: usize) -> Ipv4Addr {
        let host = client % self.count;
        Ipv4Addr::new(127, self.network, (host / 250) as u8, (host % 250 + 1) as u8)
    }

    /// Connects a client; clients take the addresses in turn.
    ///
    /// # Errors
    /// If the connection fails.
    pub(crate) async fn connect(self, client: usize, to: SocketAddr) -> io::Result<TcpStream> {
        self.connect_with(client, to, |_| Ok(())).await
    }

    /// Connects a client after `prepare` has set options of the socket.
    ///
    /// # Errors
    /// If the connection or `prepare` fails.
    pub(crate) async fn connect_with(
        self,
        client: usize,
        to: SocketAddr,
        prepare: impl FnOnce(&TcpSocket) -> io::Result<()> + Send,
    ) -> io::Result<TcpStream> {
        let socket = TcpSocket::new_v4()?;
        prepare(&socket)?;
        if self.network != 0 {
            socket.bind((self.address(client), 0).into())?;
        }
        socket.connect(to).await
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn clients_take_the_addresses_in_turn() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let sources = Sources::of(9, 260);
        for (client, source) in [(0, "127.9.0.1"), (250, "127.9.1.1"), (260, "127.9.0.1")] {
            let _socket = sources.connect(client, listener.local_addr().unwrap()).await.unwrap();
            let (_, peer) = listener.accept().await.unwrap();
            assert_eq!(peer.ip().to_string(), source, "{client}");
        }
    }

    #[tokio::test]
    async fn the_system_chooses_by_default() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let to = listener.local_addr().unwrap();
        let _socket = Sources::default().connect(7, to).await.unwrap();
        assert_eq!(listener.accept().await.unwrap().1.ip(), Ipv4Addr::LOCALHOST);
    }
}

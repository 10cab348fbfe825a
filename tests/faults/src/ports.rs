//! Allocates local ports for the processes of a run.

use std::net::{SocketAddr, TcpListener};

use anyhow::bail;

use crate::random::Random;

/// Below the ephemeral range, so that no outgoing connection takes the port of a process that is down.
const PORTS: (u64, u64) = (20_000, 29_999);

/// Allocates each port at most once.
pub struct Ports<'a> {
    random: &'a mut Random,
    taken: Vec<SocketAddr>,
}

impl<'a> Ports<'a> {
    /// Draws ports from this generator.
    pub fn new(random: &'a mut Random) -> Self {
        Self { random, taken: Vec::new() }
    }

    /// An unused local address.
    ///
    /// # Errors
    /// If no free port is found.
    pub fn take(&mut self) -> anyhow::Result<SocketAddr> {
        for _ in 0..100 {
            let port = self.random.between(PORTS.0, PORTS.1) as u16;
            let address = SocketAddr::from(([127, 0, 0, 1], port));
            if !self.taken.contains(&address) && TcpListener::bind(address).is_ok() {
                self.taken.push(address);
                return Ok(address);
            }
        }
        bail!("no free port");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_allocated_once() {
        let mut random = Random::new(2);
        let mut ports = Ports::new(&mut random);
        let mut given: Vec<_> = (0..200).map(|_| ports.take().unwrap()).collect();
        given.sort();
        given.dedup();
        assert_eq!(given.len(), 200);
    }
}

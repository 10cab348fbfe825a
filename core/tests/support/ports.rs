//! TCP ports for test servers.

use std::net::TcpListener;
use std::sync::atomic::{AtomicU32, Ordering};

/// An unused port below the ephemeral range, spread over test processes. No port is returned twice.
pub(crate) fn free_port() -> u16 {
    static TRIED: AtomicU32 = AtomicU32::new(0);
    loop {
        let tried = TRIED.fetch_add(1, Ordering::Relaxed);
        let port = 10_000 + (std::process::id() * 131 + tried) % 20_000;
        let port = u16::try_from(port).unwrap();
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

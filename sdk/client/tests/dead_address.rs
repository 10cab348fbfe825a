//! A server whose name has a dead first address: every kind of transport reaches the second one.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, and runs its own program"
)]

#[allow(dead_code, reason = "shared with the tests of cores and applications")]
#[path = "../../../runtime/tests/support/dead_address.rs"]
mod dead_address;
#[allow(dead_code, reason = "shared with the tests of transports")]
mod peer;

use dead_address::{LIVE, NAME, SOON, in_namespace, kill_first_address};
use minerva_client::{Stream, TransportKind};
use peer::config;
use tokio::net::TcpListener;
use tokio::time::timeout;

#[tokio::test]
async fn a_first_address_that_drops_syns_delays_no_transport() {
    if !in_namespace("a_first_address_that_drops_syns_delays_no_transport") {
        return;
    }
    for kind in [
        TransportKind::Tcp,
        TransportKind::WebSocket,
        TransportKind::HttpStream,
        TransportKind::LongPoll,
    ] {
        let listener = TcpListener::bind((LIVE, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let _dead = kill_first_address(port);
        let _stream = Stream::connect(config(format!("{NAME}:{port}"), kind)).unwrap();
        assert!(timeout(SOON, listener.accept()).await.is_ok(), "{kind:?}");
    }
}

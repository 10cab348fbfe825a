//! A core whose name has a dead first address.

use minerva_app::Service;
use tokio::net::TcpListener;
use tokio::time::timeout;

use crate::dead_addresses::{LIVE, NAME, SOON, in_namespace, kill_first_address};
use crate::fake_core::FakeCore;

#[tokio::test]
async fn a_first_address_that_drops_syns_does_not_keep_an_application_from_a_core() {
    let path =
        "dead_address::a_first_address_that_drops_syns_does_not_keep_an_application_from_a_core";
    if !in_namespace(path) {
        return;
    }
    let free = TcpListener::bind((LIVE, 0)).await.unwrap().local_addr().unwrap();
    let mut core = FakeCore::start_at(free).await;
    let _dead = kill_first_address(free.port());
    let start = tokio::spawn(Service::connect(format!("http://{NAME}:{}", free.port())).start());
    let (_call, _) = timeout(SOON, core.registered()).await.unwrap();
    timeout(SOON, start).await.unwrap().unwrap().unwrap();
}

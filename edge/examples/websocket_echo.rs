//! An edge whose WebSockets echo their messages, for the Autobahn test suite (`tests/autobahn/run`). Accepts connections,
//! upgrades them and drives them with the code of every edge; there is no core. Prints the URL when ready.

use minerva_edge::{Config, Cores, Edge, Pages};

/// Longest message of the test suite in bytes. An edge of a deployment accepts at most 1 MiB.
const LONGEST: u32 = 16 << 20;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let config = Config {
        listen: ([127, 0, 0, 1], 0).into(),
        max_frame: LONGEST,
        echo_websockets: true,
        ..Config::default()
    };
    // No core listens there, and no transport needs one.
    let cores = Cores::at(&["127.0.0.1:1".to_owned()])?;
    let edge = Edge::bind(config, cores, Pages::new(), None)?;
    println!("ws://{}/_minerva/ws", edge.local_addr());
    edge.run(std::future::pending()).await;
    Ok(())
}

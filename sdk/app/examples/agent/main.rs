//! An agent with a fake model: tokens, *stop*, and tool calls that need an approval, all of which survive crashes of each
//! process and of the network. `docs/agents.md` explains the program.

mod conversation;
mod model;
mod serve;
mod store;

use std::path::PathBuf;

use clap::Parser;
use minerva_app::Service;
use tokio::signal::unix::{SignalKind, signal};

/// An agent with a fake model.
#[derive(Parser)]
struct Config {
    /// Addresses of the cores' application API, separated by commas.
    #[arg(long, env = "MINERVA_API", default_value = "127.0.0.1:7400", value_name = "ADDRS")]
    api: String,
    /// Service to register as; `agent` is the service of the path /_minerva/agent/.
    #[arg(long, env = "MINERVA_SERVICE", default_value = "agent", value_name = "NAME")]
    service: String,
    /// Path of the database. All instances of the service share one.
    #[arg(long, env = "AGENT_DATABASE", default_value = "agent.sqlite", value_name = "FILE")]
    database: PathBuf,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    let config = Config::parse();
    let mut terminate = signal(SignalKind::terminate())?;
    let store = store::Store::open(&config.database)?;
    let service = Service::connect(&config.api).name(&config.service).start().await?;
    println!("agent: serving `{}` of {}", config.service, config.api);
    let handle = service.handle();
    tokio::spawn(async move {
        terminate.recv().await;
        handle.stop().await;
    });
    service.run(move |stream| serve::serve(stream, store.clone())).await;
    Ok(())
}

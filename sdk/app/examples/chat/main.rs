//! A chat as an app service: rooms, names, the last lines. `README.md` is its protocol.

mod room;

use clap::Parser;

/// A chat as an app service of Minerva.
#[derive(Parser)]
struct Config {
    /// Where the cores serve apps: one address or several, with commas in between; a host name may stand for
    /// several cores.
    #[arg(long, env = "MINERVA_API", default_value = "127.0.0.1:7400", value_name = "ADDRS")]
    api: String,
    /// Service to register as; `default` is what clients of /_minerva/ reach.
    #[arg(long, default_value = "default", value_name = "NAME")]
    service: String,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    let config = Config::parse();
    let service = minerva_app::Service::connect(&config.api).name(&config.service).start().await?;
    println!("chat: serving `{}` of {}", config.service, config.api);
    room::serve(service).await;
    Ok(())
}

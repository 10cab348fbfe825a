//! A chat as an app service: rooms, names and recent lines. `README.md` specifies the protocol.

mod room;

use clap::Parser;

/// A chat as an app service of Minerva.
#[derive(Parser)]
struct Config {
    /// Addresses of the cores' application API, separated by commas. A host name may resolve to several
    /// cores.
    #[arg(long, env = "MINERVA_API", default_value = "127.0.0.1:7400", value_name = "ADDRS")]
    api: String,
    /// Service to register as; `default` is the service of the path /_minerva/.
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

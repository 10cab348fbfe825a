//! The smallest app service: sends every message back.

use clap::Parser;
use minerva_app::{SendError, Service};

/// Sends every message back.
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
    let mut service = Service::connect(&config.api).name(&config.service).start().await?;
    println!("echo: serving `{}` of {}", config.service, config.api);
    while let Some(stream) = service.accept().await {
        tokio::spawn(async move {
            let (mut messages, sender) = stream.split();
            while let Some(message) = messages.recv().await {
                sender.send(message).await?;
            }
            Ok::<_, SendError>(())
        });
    }
    Ok(())
}

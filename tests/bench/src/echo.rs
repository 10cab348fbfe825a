//! The application service that is measured: it sends back each string. A process of its own.

use minerva_app::{AppStream, SendError, Service};

/// The group of all streams.
pub(crate) const GROUP: &str = "all";

/// Options of `app`.
#[derive(Debug, clap::Args)]
pub(crate) struct Config {
    /// The core's address for applications.
    #[arg(long)]
    api: String,
}

/// Serves until it is killed.
pub(crate) async fn run(config: Config) -> anyhow::Result<()> {
    let service = Service::connect(config.api).start().await?;
    println!("ready");
    service.run(echo).await;
    Ok(())
}

async fn echo(mut stream: AppStream) -> Result<(), SendError> {
    // The name is one, and the only group.
    let _ = stream.join(GROUP);
    while let Some(string) = stream.recv().await {
        stream.send(string).await?;
    }
    Ok(())
}

//! The measured application service, an echo in a separate process.

use minerva_app::{AppStream, SendError, Service};

/// The group of all streams.
pub(crate) const GROUP: &str = "all";

/// Options of `app`.
#[derive(Debug, clap::Args)]
pub(crate) struct Config {
    /// Address of the core for applications.
    #[arg(long)]
    api: String,
    /// Put all streams into a group.
    #[arg(long)]
    group: bool,
}

/// Serves until the process is killed.
pub(crate) async fn run(config: Config) -> anyhow::Result<()> {
    let service = Service::connect(config.api).start().await?;
    println!("ready");
    let has_group = config.group;
    service.run(move |stream| echo(stream, has_group)).await;
    Ok(())
}

async fn echo(mut stream: AppStream, has_group: bool) -> Result<(), SendError> {
    if has_group {
        // The name is valid, and there is only one group.
        let _ = stream.join(GROUP).await;
    }
    while let Some(message) = stream.recv().await {
        stream.send(message).await?;
    }
    Ok(())
}

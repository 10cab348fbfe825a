//! `minerva-faults flood`: the application service of hostile clients. Accepts and acknowledges everything, and sends
//! without end to clients with the credentials of a flood.

use std::process::ExitCode;

use minerva_app::{AppStream, Message, SendError, Service};

use super::acts::{FLOOD, SERVICE};

/// Length of a message.
const MESSAGE: usize = 16 * 1024;

/// Options of `flood`.
#[derive(Debug, clap::Args)]
pub(crate) struct Config {
    /// Addresses of the cores for applications, separated by commas.
    #[arg(long)]
    api: String,
}

/// Serves until the process is killed.
pub(crate) async fn run(config: Config) -> anyhow::Result<ExitCode> {
    let service = Service::connect(config.api.as_str()).name(SERVICE).start().await?;
    println!("ready");
    let message = Message::from("x".repeat(MESSAGE));
    service.run(move |stream| attend(stream, message.clone())).await;
    Ok(ExitCode::SUCCESS)
}

async fn attend(stream: AppStream, message: Message) -> Result<(), SendError> {
    let is_flooded = stream.credentials() == FLOOD;
    let (mut receiver, sender) = stream.split();
    let receiving = async { while receiver.recv().await.is_some() {} };
    let sending = async { while is_flooded && sender.send(message.clone()).await.is_ok() {} };
    tokio::join!(receiving, sending);
    Ok(())
}

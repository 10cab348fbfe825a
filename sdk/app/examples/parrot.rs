//! The parrot: answers every message with a copy that carries the event number. `examples/` has the same program with the
//! SDK in Python, and in TypeScript, which does by hand the work of an SDK.
//!
//! `N:MESSAGE` is the answer to event N; a binary message is answered by the same bytes. `reset:REASON` ends the stream, `burst:N` is answered by N messages,
//! and a client with the credentials `refuse:REASON` is refused.

use clap::Parser;
use minerva_app::{AppStream, Event, EventNumber, Message, SendError, Service};
use tokio::signal::unix::{SignalKind, signal};

/// Longest burst, in messages.
const MAX_BURST: u64 = 100_000;

/// Answers every message with a copy.
#[derive(Parser)]
struct Config {
    /// Addresses of the cores' application API, separated by commas.
    #[arg(
        long,
        env = "MINERVA_API",
        default_value = "http://127.0.0.1:7400",
        value_name = "ADDRS"
    )]
    api: String,
    /// Service to register as; `default` is the service of the path /_minerva/.
    #[arg(long, env = "MINERVA_SERVICE", default_value = "default", value_name = "NAME")]
    service: String,
    /// A constant id of this instance, such as the name of a host or pod. The streams then
    /// return at once after a restart.
    #[arg(long, env = "MINERVA_INSTANCE", value_name = "ID")]
    instance: Option<String>,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    let config = Config::parse();
    let mut terminate = signal(SignalKind::terminate())?;
    let mut service = Service::connect(&config.api).name(&config.service);
    if let Some(instance) = config.instance {
        service = service.instance_id(instance);
    }
    let service = service.start().await?;
    println!("parrot: serving `{}`", config.service);
    let handle = service.handle();
    tokio::spawn(async move {
        terminate.recv().await;
        // Queued answers become durable. The streams move to another instance, or to the next start.
        handle.stop().await;
    });
    service.run(serve).await;
    Ok(())
}

/// Serves one stream from the current position to the end. An event that an earlier process left
/// unacknowledged is delivered again and has no answer yet, because `answer` does both in one durable step.
async fn serve(mut stream: AppStream) -> anyhow::Result<()> {
    if let Some(reason) = stream.credentials().strip_prefix("refuse:") {
        stream.reset(reason)?;
    }
    while let Some(next) = stream.next_event().await {
        let Event::Message { event, message, .. } = next else { continue };
        match answer(&stream, event, message).await {
            // The stream is over; `next_event` returns the end.
            Ok(()) | Err(SendError::Over) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

async fn answer(stream: &AppStream, event: EventNumber, message: Message) -> Result<(), SendError> {
    let Message::Text(text) = message else {
        return stream.answer(event, message).await;
    };
    if let Some(reason) = text.strip_prefix("reset:") {
        // An invalid reason is replaced.
        if stream.reset(reason).is_err() {
            stream.reset("no reason").ok();
        }
        return Ok(());
    }
    match text.strip_prefix("burst:").and_then(|count| count.parse().ok()) {
        // `send` waits for a slow client. The next `next_event` acknowledges this event, so a burst
        // interrupted by a crash is repeated from the start. An app that must not repeat messages sends a
        // single answer, or stores the progress.
        Some(count @ 0..=MAX_BURST) => {
            for number in 0..count {
                stream.send(number.to_string()).await?;
            }
            Ok(())
        }
        Some(_) | None => stream.answer(event, format!("{event}:{text}")).await,
    }
}

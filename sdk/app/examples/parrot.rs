//! The parrot: says every message again, with its event's number. The same program in Python and TypeScript is in
//! `examples/`; the SDK does here what those do by hand.
//!
//! `N:STRING` is the answer to event N. `reset:REASON` ends the stream, `burst:N` is answered by N messages, and the
//! credentials `refuse:REASON` are not welcome.

use clap::Parser;
use minerva_app::{AppStream, Event, EventNumber, SendError, Service};
use tokio::signal::unix::{SignalKind, signal};

/// The longest burst.
const MAX_BURST: u64 = 100_000;

/// Says every message again.
#[derive(Parser)]
struct Config {
    /// Where the cores serve apps: one address or several, with commas in between.
    #[arg(
        long,
        env = "MINERVA_API",
        default_value = "http://127.0.0.1:7400",
        value_name = "ADDRS"
    )]
    api: String,
    /// Service to register as; `default` is what clients of /_minerva/ reach.
    #[arg(long, env = "MINERVA_SERVICE", default_value = "default", value_name = "NAME")]
    service: String,
    /// Name of this instance, if it has one that stays when it is started again (a host's, a pod's): then its
    /// streams come back to it at once.
    #[arg(long, env = "MINERVA_INSTANCE", value_name = "ID")]
    instance: Option<String>,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    let config = Config::parse();
    let mut asked = signal(SignalKind::terminate())?;
    let mut service = Service::connect(&config.api).name(&config.service);
    if let Some(instance) = config.instance {
        service = service.instance_id(instance);
    }
    let service = service.start().await?;
    println!("parrot: serving `{}`", config.service);
    let handle = service.handle();
    tokio::spawn(async move {
        asked.recv().await;
        // What was said becomes durable; the streams go on with another instance, or the next start of this one.
        handle.stop().await;
    });
    service.run(serve).await;
    Ok(())
}

/// One stream, from wherever it goes on to its end. An event that an earlier process did not acknowledge comes again,
/// and has no answer yet: `answer` does both in one durable step.
async fn serve(mut stream: AppStream) -> anyhow::Result<()> {
    if let Some(reason) = stream.credentials().strip_prefix("refuse:") {
        stream.reset(reason)?;
    }
    while let Some(happened) = stream.next_event().await {
        let Event::Message { event, message } = happened else { continue };
        // Messages are bytes 0x20-0x7E: text.
        let message = String::from_utf8_lossy(&message).into_owned();
        match answer(&stream, event, &message).await {
            // The stream is over; `next_event` tells how.
            Ok(()) | Err(SendError::Over) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

async fn answer(stream: &AppStream, event: EventNumber, message: &str) -> Result<(), SendError> {
    if let Some(reason) = message.strip_prefix("reset:") {
        // A reason that cannot travel is left out.
        if stream.reset(reason).is_err() {
            stream.reset("no reason").ok();
        }
        return Ok(());
    }
    match message.strip_prefix("burst:").and_then(|count| count.parse().ok()) {
        // `send` waits while the client has enough to read. Asking for the next event acknowledges this one, so a
        // burst that a crash interrupts is said again from its beginning: what an app must not say twice, it says
        // in one answer, or stores how far it came.
        Some(count @ 0..=MAX_BURST) => {
            for number in 0..count {
                stream.send(number.to_string()).await?;
            }
            Ok(())
        }
        Some(_) | None => stream.answer(event, format!("{event}:{message}")).await,
    }
}

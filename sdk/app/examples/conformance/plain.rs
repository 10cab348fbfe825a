//! The commands of a stream without QAN. Answers ignore the pause, because the original had no back-pressure.

use std::time::Duration;

use anyhow::{Context, bail};
use minerva_app::{AppStream, Ended, Event, Sender, TransportChange, TransportKind};

use super::Fates;

/// The application's memory of a stream.
#[derive(Default)]
struct Memory {
    messages: u64,
    plain: Vec<String>,
    transports: Vec<String>,
}

/// Serves the stream until the end.
pub(super) async fn serve(mut stream: AppStream, fates: &Fates) -> anyhow::Result<Option<Ended>> {
    let sender = stream.sender();
    let mut memory = Memory::default();
    while let Some(event) = stream.next_event().await {
        match event {
            Event::Message { message, .. } => {
                memory.messages += 1;
                let text = message.as_text().unwrap_or_default();
                if let Err(error) = execute(text, &mut memory, &sender, fates) {
                    tracing::warn!(stream = %sender.id(), %error, "a command failed");
                }
            }
            Event::TransportChanged(change) => memory.transports.push(describe(&change)),
            Event::Ended { ended, .. } => return Ok(Some(ended)),
            Event::Released => return Ok(None),
            Event::Rejoined { .. } | _ => {}
        }
    }
    Ok(None)
}

fn execute(
    message: &str,
    memory: &mut Memory,
    sender: &Sender,
    fates: &Fates,
) -> anyhow::Result<()> {
    let (command, argument) = message.split_once(':').unwrap_or((message, ""));
    if !message.contains(':') {
        memory.plain.push(message.to_owned());
        return Ok(());
    }
    match command {
        "echo" => sender.try_send(argument.to_owned())?,
        "burst" => {
            for number in 0..argument.parse::<u64>()? {
                sender.try_send(number.to_string())?;
            }
        }
        "size" => sender.try_send("x".repeat(argument.parse()?))?,
        "delay" => delay(argument, sender.clone())?,
        "reset" => sender.reset(argument)?,
        "echoreset" => {
            sender.try_send(argument.to_owned())?;
            sender.reset(argument)?;
        }
        "raise" => bail!("asked to fail"),
        "count" => sender.try_send(format!("count:{}", memory.messages))?,
        "log" => sender.try_send(format!("log:{}", memory.plain.join("|")))?,
        "tlog" => sender.try_send(format!("tlog:{}", memory.transports.join(" ")))?,
        "maxidle" => sender.set_max_idle(Duration::try_from_secs_f64(argument.parse()?)?),
        "fate" => sender.try_send(format!("fate:{}", fates.of(argument)))?,
        _ => memory.plain.push(message.to_owned()),
    }
    Ok(())
}

fn delay(argument: &str, sender: Sender) -> anyhow::Result<()> {
    let (milliseconds, message) = argument.split_once(':').context("delay:MS:X is meant")?;
    let pause = Duration::from_millis(milliseconds.parse()?);
    let message = message.to_owned();
    tokio::spawn(async move {
        tokio::time::sleep(pause).await;
        // Fails if the stream is over by now.
        let _ = sender.try_send(message);
    });
    Ok(())
}

fn describe(change: &TransportChange) -> String {
    format!(
        "{}{}:{}:{}:{}",
        if change.attached { '+' } else { '-' },
        change.number,
        u8::from(change.primary),
        u8::from(change.kind.is_some_and(TransportKind::is_streaming_from_client)),
        u8::from(change.kind.is_some_and(TransportKind::is_streaming_to_client)),
    )
}

//! One of several instances of the application service, as a process: `minerva-faults answer`.
//!
//! An instance appends each event to the event log (`event_log.rs`), answers the event with one message, and
//! acknowledges only some events; the others are delivered again to the next owner of the stream. Answer N - 1 belongs
//! to event N, so a successor derives the answered events from the number of the next send. The streams of `poison` kill
//! the instance.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;
use minerva_app::{AppStream, Event, Service};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;

use crate::app::{self, RunId};
use crate::event_log::{Entry, EventLogWriter};
use crate::message::{self, Direction, Length};
use crate::poison::Death;

/// Options of `answer`.
#[derive(Debug, clap::Args)]
pub(crate) struct Config {
    /// Addresses of the cores for applications, separated by commas.
    #[arg(long)]
    api: String,
    /// The event log, shared by all instances.
    #[arg(long, alias = "notes")]
    event_log: PathBuf,
    /// Instance identity that survives a restart of the process.
    #[arg(long)]
    name: Option<String>,
    /// Number of streams of the run.
    #[arg(long)]
    streams: usize,
    /// Maximum padding of a message, in bytes.
    #[arg(long)]
    padding: usize,
    /// Acknowledge the events whose number is a multiple of this one, together with all earlier events.
    #[arg(long, default_value_t = 4)]
    acknowledge_every: u64,
}

struct Work {
    event_log: EventLogWriter,
    instance: u64,
    streams: usize,
    length: Length,
    acknowledge_every: u64,
}

/// Serves until the process is killed, receives SIGTERM, or its input is closed.
pub(crate) async fn run(config: Config) -> anyhow::Result<ExitCode> {
    let event_log = EventLogWriter::open(&config.event_log)?;
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for signals")?;
    let mut service = Service::connect(config.api.as_str()).name("default");
    if let Some(name) = config.name {
        service = service.instance_id(name);
    }
    let service = service.start().await?;
    println!("ready");
    let work = Arc::new(Work {
        event_log,
        instance: std::process::id().into(),
        streams: config.streams,
        length: Length::UpTo(config.padding),
        acknowledge_every: config.acknowledge_every,
    });
    let handle = service.handle();
    let serving = service.run(move |stream| attend(stream, Arc::clone(&work)));
    let stopping = async {
        terminate.recv().await;
        handle.stop().await;
    };
    tokio::select! {
        ((), ()) = async { tokio::join!(serving, stopping) } => {}
        _ = input_ended() => {}
    }
    Ok(ExitCode::SUCCESS)
}

/// Resolves at the end of the input. Reads in a separate thread: a blocked thread of the runtime would delay the
/// exit.
fn input_ended() -> oneshot::Receiver<()> {
    let (sender, ended) = oneshot::channel();
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        // The receiver is gone if the service was stopped.
        let _ = sender.send(());
    });
    ended
}

async fn attend(mut stream: AppStream, work: Arc<Work>) -> anyhow::Result<()> {
    if let Some(death) = Death::of(stream.credentials()) {
        if death == Death::Start || stream.recv().await.is_some() {
            std::process::abort();
        }
        return Ok(());
    }
    let Some(number) = app::number_of(&stream, RunId::default(), work.streams) else {
        return Ok(());
    };
    work.attend(number, stream).await
}

impl Work {
    async fn attend(&self, number: usize, mut stream: AppStream) -> anyhow::Result<()> {
        stream.acknowledge_manually();
        let (first_event, mut next) = (stream.first_event().0, stream.first_send().0);
        let instance = self.instance;
        self.log(Entry::Started { instance, stream: number, first_event, first_send: next })?;
        while let Some(happened) = stream.next_event().await {
            match happened {
                Event::Message { event, message, .. } => {
                    let event = event.0;
                    let message = message.as_bytes().to_vec();
                    self.log(Entry::Handled { instance, stream: number, event, message })?;
                    if event > next {
                        self.answer(number, event, next, &stream).await?;
                        next += 1;
                    }
                    if event.is_multiple_of(self.acknowledge_every) {
                        stream.acknowledge(event);
                    }
                }
                Event::Ended { ended, .. } => {
                    let reason = format!("{}, by {:?}", ended.reason, ended.by);
                    self.log(Entry::Ended { instance, stream: number, reason })?;
                }
                // A stream that ends with a release continues at another instance.
                Event::TransportChanged(_) | Event::Released | _ => {}
            }
        }
        Ok(())
    }

    /// Answers `event` with message `event - 1`, which must be the next number.
    async fn answer(
        &self,
        number: usize,
        event: u64,
        next: u64,
        stream: &AppStream,
    ) -> anyhow::Result<()> {
        if event != next + 1 {
            let what = format!("event {event} received, but the next answer is {next}");
            self.log(Entry::Violation { instance: self.instance, stream: number, what })?;
        }
        let answer = message::write(Direction::S2c, number, event - 1, self.length);
        // If the stream has ended, the end arrives as an event.
        let _ = stream.send(message::text(&answer)).await;
        Ok(())
    }

    fn log(&self, entry: Entry) -> anyhow::Result<()> {
        self.event_log.append(&entry).context("cannot write the event log")
    }
}

//! The application service of a run with several instances, each a process to be killed: `minerva-faults
//! answer`.
//!
//! It notes each event (`notes.rs`), answers it with one message, and acknowledges only some: those of others come
//! again to whoever gets the stream next. Answer N - 1 is to event N, so a successor knows from the
//! number of the next send which events are answered already.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;
use minerva_app::{AppStream, Event, Service};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;

use crate::app;
use crate::event_log::{Entry, EventLogWriter};
use crate::message::{self, Direction, Length};

/// Only every so many events are acknowledged, each with its answer and those before.
const ACKNOWLEDGED: u64 = 4;

/// Options of `answer`.
#[derive(Debug, clap::Args)]
pub(crate) struct Config {
    /// The cores' addresses for applications, separated by commas.
    #[arg(long)]
    api: String,
    /// The file of notes.
    #[arg(long, alias = "notes")]
    event_log: PathBuf,
    /// A name that stays when the process is started again.
    #[arg(long)]
    name: Option<String>,
    /// Streams that there will be.
    #[arg(long)]
    streams: usize,
    /// Longest padding of a message.
    #[arg(long)]
    padding: usize,
}

/// What all streams share.
struct Work {
    event_log: EventLogWriter,
    instance: u64,
    streams: usize,
    length: Length,
}

/// Serves until it is killed, asked to end, or nobody holds its input any more.
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

/// Told when nobody holds the input any more. A thread of its own, as one of the runtime's could not be left
/// behind at the end.
fn input_ended() -> oneshot::Receiver<()> {
    let (told, ended) = oneshot::channel();
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        // Nobody waits if the service was stopped.
        let _ = told.send(());
    });
    ended
}

async fn attend(stream: AppStream, work: Arc<Work>) -> anyhow::Result<()> {
    let Some(number) = app::number_of(&stream, work.streams) else { return Ok(()) };
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
                Event::Message { event, message } => {
                    let event = event.0;
                    let message = message.to_vec();
                    self.log(Entry::Handled { instance, stream: number, event, message })?;
                    if event > next {
                        self.answer(number, event, next, &stream).await?;
                        next += 1;
                    }
                    if event % ACKNOWLEDGED == 0 {
                        stream.acknowledge(event);
                    }
                }
                Event::Ended { ended, .. } => {
                    let reason = format!("{}, by {:?}", ended.reason, ended.by);
                    self.log(Entry::Ended { instance, stream: number, reason })?;
                }
                // It went on elsewhere, if this is the last one.
                Event::TransportChanged(_) | Event::Released | _ => {}
            }
        }
        Ok(())
    }

    /// Answers an event by the message with the number before it, which must be the next one.
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
        // If the stream is over, its end comes as an event.
        let _ = stream.send(answer).await;
        Ok(())
    }

    fn log(&self, entry: Entry) -> anyhow::Result<()> {
        self.event_log.append(&entry).context("cannot write the event log")
    }
}

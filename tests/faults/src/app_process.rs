//! The application service as a process to be killed: `minerva-faults app`.
//!
//! The service writes each event number with its effect (`effects.rs`) and acknowledges manually and late, so that
//! handled events are delivered again after a crash. Messages carry the SDK's numbers, so that a successor continues
//! the sequence.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use minerva_app::{AppStream, Event, Receiver, Sender, Service};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};

use crate::app::{self, RunId};
use crate::effects::{Effect, Journal};
use crate::message::{self, Direction, Length};

/// Every tenth event is acknowledged; later ones are delivered again after a crash.
const ACKNOWLEDGED: u64 = 10;

/// Options of `app`.
#[derive(Debug, clap::Args)]
pub(crate) struct Config {
    /// Address of the core for applications.
    #[arg(long)]
    api: String,
    /// The effects file.
    #[arg(long)]
    effects: PathBuf,
    /// Number of streams of the run.
    #[arg(long)]
    streams: usize,
    /// Messages per second and stream.
    #[arg(long)]
    rate: f64,
    /// Maximum padding of a message, in bytes.
    #[arg(long)]
    padding: usize,
}

struct Work {
    journal: Journal,
    config: Config,
    /// True ends the sending.
    stop: watch::Receiver<bool>,
}

/// Serves until the process is killed or its input ends. A line of input ends the sending.
pub(crate) async fn run(config: Config) -> anyhow::Result<ExitCode> {
    let journal = Journal::open(&config.effects)?;
    let (stopper, stop) = watch::channel(false);
    let service = Service::connect(config.api.as_str()).name("default").start().await?;
    println!("ready");
    let work = Arc::new(Work { journal, config, stop });
    let serving = service.run(move |stream| attend(stream, Arc::clone(&work)));
    let mut input = BufReader::new(tokio::io::stdin()).lines();
    let listening = async {
        while let Some(_line) = input.next_line().await.context("no input")? {
            stopper.send_replace(true);
        }
        anyhow::Ok(())
    };
    tokio::select! {
        () = serving => {}
        ended = listening => ended?,
    }
    Ok(ExitCode::SUCCESS)
}

async fn attend(stream: AppStream, work: Arc<Work>) -> anyhow::Result<()> {
    let Some(number) = app::number_of(&stream, RunId::default(), work.config.streams) else {
        return Ok(());
    };
    let first = stream.first_send().0;
    let (mut receiver, sender) = stream.split();
    receiver.acknowledge_manually();
    let supplying = work.supply(number, first, sender);
    tokio::try_join!(supplying, work.consume(number, receiver))?;
    work.journal.add(Effect::Ended { stream: number })?;
    Ok(())
}

impl Work {
    /// Sends messages from number `next` until the stop flag is set, then records their count.
    async fn supply(&self, stream: usize, mut next: u64, sender: Sender) -> anyhow::Result<()> {
        let length = Length::UpTo(self.config.padding);
        let mut ticks = interval(Duration::from_secs_f64(1.0 / self.config.rate));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while !*self.stop.borrow() {
            ticks.tick().await;
            let message = message::write(Direction::S2c, stream, next, length);
            sender.send(message::text(&message)).await?;
            next += 1;
        }
        sender.durable().await?;
        self.journal.add(Effect::Sent { stream, messages: next })?;
        Ok(())
    }

    async fn consume(&self, stream: usize, mut receiver: Receiver) -> anyhow::Result<()> {
        while let Some(event) = receiver.next_event().await {
            if let Event::Message { event, message, .. } = event {
                self.journal.take(stream, event.0, message.as_bytes())?;
                if event.0.is_multiple_of(ACKNOWLEDGED) {
                    receiver.acknowledge(event);
                }
            }
        }
        Ok(())
    }
}

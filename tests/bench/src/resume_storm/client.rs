//! One client of the storm, on the published SDK: sends messages periodically and when prompted, and checks that the
//! echoes arrive once and in order.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use minerva_client::{Config, Stream, TransportKind};
use minerva_faults::clock;
use minerva_faults::random::Random;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use crate::histogram::Histogram;

const POLL_INTERVAL: Duration = Duration::from_millis(10);

/// Counters shared by all clients.
pub(super) struct Counters {
    /// Time of the last prompt.
    prompted_at: watch::Sender<Instant>,
    /// Clients with an echo of the last prompt.
    answered: AtomicUsize,
    /// From a prompt to its echo.
    pub(super) latencies: Histogram,
    sent: AtomicU64,
    /// Echoes in the expected order.
    received: AtomicU64,
    /// Unexpected echoes.
    wrong: AtomicU64,
    /// Suspends periodic messages.
    is_quiet: watch::Sender<bool>,
}

pub(super) struct Client {
    stream: Stream,
    counters: Arc<Counters>,
    sent: u64,
    received: u64,
    /// Number of the message sent for the last prompt, and the time of the prompt.
    prompt: Option<(u64, Instant)>,
}

impl Counters {
    /// All clients are prompted at the start.
    pub(super) fn new() -> Self {
        Self {
            prompted_at: watch::Sender::new(clock::now()),
            answered: AtomicUsize::new(0),
            latencies: Histogram::new(),
            sent: AtomicU64::new(0),
            received: AtomicU64::new(0),
            wrong: AtomicU64::new(0),
            is_quiet: watch::Sender::new(false),
        }
    }

    /// Prompts every client to send a message.
    pub(super) fn prompt(&self) {
        self.answered.store(0, Ordering::Relaxed);
        self.prompted_at.send_replace(clock::now());
    }

    /// Number of clients with an echo of the last prompt.
    pub(super) fn answered(&self) -> usize {
        self.answered.load(Ordering::Relaxed)
    }

    /// Suspends periodic messages, waits for all echoes, and returns the number of lost and unexpected messages.
    pub(super) async fn drained(&self, longest: Duration) -> u64 {
        self.is_quiet.send_replace(true);
        let missing = || {
            let sent = self.sent.load(Ordering::Relaxed);
            sent - self.received.load(Ordering::Relaxed).min(sent)
        };
        let draining = async {
            while missing() > 0 {
                sleep(POLL_INTERVAL).await;
            }
        };
        // Missing messages after the deadline are lost.
        let _ = timeout(longest, draining).await;
        let lost = missing() + self.wrong.load(Ordering::Relaxed);
        self.is_quiet.send_replace(false);
        lost
    }
}

impl Client {
    pub(super) fn connect(addresses: &str, counters: Arc<Counters>) -> anyhow::Result<Self> {
        let config = Config::new(addresses, TransportKind::WebSocket);
        let stream = Stream::connect(config)?;
        Ok(Self { stream, counters, sent: 0, received: 0, prompt: None })
    }

    /// Runs until dropped, with a message in each interval `every`.
    pub(super) async fn run(mut self, every: Duration) -> anyhow::Result<()> {
        let mut prompted_at = self.counters.prompted_at.subscribe();
        prompted_at.mark_changed();
        let phase = Random::new(Random::fresh_seed()).fraction();
        let mut next = clock::now() + every.mul_f64(phase);
        let stream = self.stream.clone();
        loop {
            tokio::select! {
                changed = prompted_at.changed() => {
                    changed.context("the prompt channel closed")?;
                    self.prompt = Some((self.sent, *prompted_at.borrow_and_update()));
                    self.send().await?;
                }
                () = tokio::time::sleep_until(next.into()) => {
                    next += every;
                    if !*self.counters.is_quiet.borrow() {
                        self.send().await?;
                    }
                }
                message = stream.recv() => match message {
                    Some(message) => self.receive(message.as_bytes()),
                    None => bail!("a stream ended: {:?}", stream.ended()),
                },
            }
        }
    }

    async fn send(&mut self) -> anyhow::Result<()> {
        self.counters.sent.fetch_add(1, Ordering::Relaxed);
        self.stream.queue(self.sent.to_string()).await?;
        self.sent += 1;
        Ok(())
    }

    fn receive(&mut self, message: &[u8]) {
        let number = std::str::from_utf8(message).ok().and_then(|text| text.parse().ok());
        if number != Some(self.received) {
            self.counters.wrong.fetch_add(1, Ordering::Relaxed);
            return;
        }
        if let Some((_, prompted_at)) =
            self.prompt.take_if(|(awaited, _)| *awaited == self.received)
        {
            self.counters.latencies.add(clock::now().duration_since(prompted_at));
            self.counters.answered.fetch_add(1, Ordering::Relaxed);
        }
        self.received += 1;
        self.counters.received.fetch_add(1, Ordering::Relaxed);
    }
}

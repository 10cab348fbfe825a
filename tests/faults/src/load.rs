//! The load of a run with several application instances: clients in this process, instances that answer each message,
//! and the evaluation of both.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::bail;
use minerva_client::TransportKind;
use tokio::time::sleep;

use crate::app::RunId;
use crate::audit::{Arrival, Audit};
use crate::clients::{self, Client};
use crate::clock;
use crate::ends::{APPLICATION, Ends};
use crate::event_log::{Entry, EventLogReader};
use crate::ledger::Ledger;
use crate::message::{Direction, Length};
use crate::report::Row;
use crate::traffic::{SendRate, StopFlag, StreamHalf, TrafficConfig};

/// Maximum padding of a message, in bytes; most messages of real applications are short.
pub(crate) const PADDING: usize = 200;
/// Poll interval of the event log; limits the resolution of pauses.
const POLL_INTERVAL: Duration = Duration::from_millis(10);
/// Deadline for progress, both of streams after a fault and while draining.
const STALL_TIMEOUT: Duration = Duration::from_secs(45);
/// Deadline for the end of a stream on the other side.
const ENDS_TIMEOUT: Duration = Duration::from_secs(10);
/// Wait for late duplicates after everything has arrived.
const DUPLICATE_WAIT: Duration = Duration::from_secs(1);

/// The clients, the ledger and the audit of a run.
pub(crate) struct Load {
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) clients: Vec<Client>,
    address: String,
    /// Address for raw TCP clients.
    tcp_address: String,
    transports: Vec<TransportKind>,
    audit: Arc<Mutex<Audit>>,
    following: tokio::task::JoinHandle<()>,
}

/// Tails the event log.
struct Follower {
    reader: EventLogReader,
    ledger: Arc<Ledger>,
    audit: Arc<Mutex<Audit>>,
}

impl Load {
    /// Prepares a load of `streams` streams and starts none; transports are assigned in turn.
    pub(crate) fn new(
        address: String,
        event_log: PathBuf,
        streams: usize,
        transports: &[TransportKind],
    ) -> Self {
        let transports = if transports.is_empty() { &TransportKind::ALL } else { transports };
        let ledger = Arc::new(Ledger::new(streams));
        let audit = Arc::new(Mutex::new(Audit::new(streams, Length::UpTo(PADDING))));
        let reader = EventLogReader::new(event_log);
        let follower = Follower { reader, ledger: Arc::clone(&ledger), audit: Arc::clone(&audit) };
        let following = tokio::spawn(follower.run());
        let (clients, transports, tcp_address) = (Vec::new(), transports.to_vec(), address.clone());
        Self { ledger, clients, address, tcp_address, transports, audit, following }
    }

    /// Sets another address for raw TCP.
    pub(crate) fn with_tcp_at(mut self, address: String) -> Self {
        self.tcp_address = address;
        self
    }

    /// Starts all streams and waits until each has made progress in both directions; returns their numbers.
    ///
    /// # Errors
    /// If a stream makes no progress; the error names the stream.
    pub(crate) async fn start_all(
        &mut self,
        streams: usize,
        rate: f64,
        stop: &StopFlag,
    ) -> anyhow::Result<Vec<usize>> {
        self.add(streams, rate, stop)?;
        let all: Vec<usize> = (0..streams).collect();
        self.wait_until_started(&all).await?;
        Ok(all)
    }

    /// Starts the next `count` streams, which send until the stop flag is set.
    pub(crate) fn add(&mut self, count: usize, rate: f64, stop: &StopFlag) -> anyhow::Result<()> {
        let every = Some(Duration::from_secs_f64(1.0 / rate));
        let traffic = TrafficConfig {
            run: RunId::default(),
            half: StreamHalf {
                ledger: Arc::clone(&self.ledger),
                direction: Direction::C2s,
                stream: 0,
                length: Length::UpTo(PADDING),
            },
            send_rate: SendRate { every, most: u64::MAX },
            stop: stop.clone(),
            bytes_per_second: None,
        };
        for number in self.clients.len()..self.clients.len() + count {
            let transport = self.transports[number % self.transports.len()];
            let address = match transport {
                TransportKind::Tcp => &self.tcp_address,
                TransportKind::WebSocket | TransportKind::HttpStream | TransportKind::LongPoll => {
                    &self.address
                }
            };
            self.clients.push(clients::start(address, transport, number, traffic.clone())?);
        }
        Ok(())
    }

    pub(crate) fn audit(&self) -> MutexGuard<'_, Audit> {
        self.audit.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Violations on open streams. A stream with lost state may have contradictory events, so it is excluded.
    pub(crate) fn violations(&self) -> Vec<String> {
        let audit = self.audit();
        let of_living = audit.violations().iter().filter(|(stream, _)| self.is_open(*stream));
        of_living.map(|(_, what)| what.clone()).collect()
    }

    /// Whether neither end has reported the end of the stream.
    pub(crate) fn is_open(&self, stream: usize) -> bool {
        self.ledger.end_reasons(stream).is_empty()
    }

    /// The ended streams with their reasons.
    pub(crate) fn ended(&self) -> Vec<String> {
        let ended = (0..self.clients.len()).filter(|stream| !self.is_open(*stream));
        let reasons = |stream| self.ledger.end_reasons(stream).join("; ");
        ended.map(|stream| format!("{stream}: {}", reasons(stream))).collect()
    }

    /// Waits until the ended streams have ended on both sides, or the deadline has passed.
    pub(crate) async fn wait_for_ends(&self) {
        let start = clock::now();
        let is_pending = |stream: usize| {
            let ends = self.ledger.end_reasons(stream);
            !ends.is_empty() && !matches!(Ends::of(&ends), Ends::Same(_))
        };
        while (0..self.clients.len()).any(is_pending)
            && clock::now().duration_since(start) < ENDS_TIMEOUT
        {
            sleep(POLL_INTERVAL).await;
        }
    }

    /// Waits for an arrival in both directions of each stream. Returns the open streams without one: c2s, s2c.
    pub(crate) async fn wait_for_progress(&self, streams: &[usize]) -> [Vec<usize>; 2] {
        let arrived = || Direction::BOTH.map(|way| self.ledger.arrived_each(way));
        let (start, before) = (clock::now(), arrived());
        loop {
            let after = arrived();
            let stalled = [0, 1].map(|way| -> Vec<usize> {
                let stands = |stream: &&usize| before[way][**stream] == after[way][**stream];
                streams
                    .iter()
                    .filter(stands)
                    .filter(|stream| self.is_open(**stream))
                    .copied()
                    .collect()
            });
            let is_late = clock::now().duration_since(start) > STALL_TIMEOUT;
            if is_late || stalled.iter().all(Vec::is_empty) {
                return stalled;
            }
            sleep(POLL_INTERVAL).await;
        }
    }

    /// Waits for an arrival in both directions of each stream.
    ///
    /// # Errors
    /// If a stream makes no progress; the error names the stream.
    pub(crate) async fn wait_until_started(&self, streams: &[usize]) -> anyhow::Result<()> {
        let [c2s, s2c] = self.wait_for_progress(streams).await;
        if c2s.is_empty() && s2c.is_empty() {
            return Ok(());
        }
        bail!("streams without messages: c2s {c2s:?}, s2c {s2c:?}")
    }

    /// Waits until all messages on open streams and their answers have arrived; the producers must be stopped. Returns
    /// the time of the last arrival, or `None` at a stall.
    pub(crate) async fn drain(&self) -> Option<Instant> {
        let mut progress = (self.ledger.arrived(), clock::now());
        loop {
            if self.is_drained() {
                let drained = clock::now();
                sleep(DUPLICATE_WAIT).await;
                if self.is_drained() {
                    return Some(drained);
                }
            }
            let arrived = self.ledger.arrived();
            if arrived != progress.0 {
                progress = (arrived, clock::now());
            } else if clock::now().duration_since(progress.1) > STALL_TIMEOUT {
                return None;
            }
            sleep(POLL_INTERVAL).await;
        }
    }

    /// Table rows of the open streams by transport. Ended streams are excluded, since they may have lost messages.
    pub(crate) fn rows(&self) -> Vec<Row> {
        let mut by_transport: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        for (number, client) in self.clients.iter().enumerate() {
            if self.is_open(number) {
                by_transport.entry(client.transport.to_string()).or_default().push(number);
            }
        }
        let row = |(transport, streams): (&String, &Vec<usize>)| {
            Direction::BOTH
                .map(|way| Row::new(transport, way, streams, &self.ledger).without_pauses())
        };
        by_transport.iter().flat_map(row).collect()
    }

    fn is_drained(&self) -> bool {
        let is_done = |(stream, client): (usize, &Client)| {
            let sent = self.ledger.sent(Direction::C2s, stream);
            let has_ended =
                client.producer.is_finished() && self.ledger.sent(Direction::S2c, stream) == sent;
            has_ended || !self.is_open(stream)
        };
        self.clients.iter().enumerate().all(is_done) && self.ledger.is_drained()
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.following.abort();
    }
}

impl Follower {
    async fn run(mut self) {
        loop {
            // A read error fails the run, since no message arrives.
            for entry in self.reader.read().unwrap_or_default() {
                match entry {
                    Ok(entry) => self.take(&entry),
                    Err(torn) => println!("incomplete entry: {torn}"),
                }
            }
            sleep(POLL_INTERVAL).await;
        }
    }

    fn take(&mut self, entry: &Entry) {
        let (ledger, stream) = (&self.ledger, entry.stream());
        if stream >= ledger.streams() {
            println!("not a stream of this run: {entry:?}");
            return;
        }
        let mut audit = self.audit.lock().unwrap_or_else(PoisonError::into_inner);
        let arrival = audit.take(entry);
        if let (Arrival::First, Entry::Handled { message, .. }) = (arrival, entry) {
            let length = Length::UpTo(PADDING);
            // The answer is counted before the arrival, so that the stream is not drained in between.
            ledger.set_sent(Direction::S2c, stream, audit.answers(stream));
            ledger.arrive(Direction::C2s, stream, message, length, clock::now());
        }
        if let Entry::Ended { reason, .. } = entry {
            ledger.record_end(stream, format!("{APPLICATION}: {reason}"));
        }
    }
}

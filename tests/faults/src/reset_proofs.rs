//! Proofs of `state lost`: while a run lasts, the ends of the logs are recorded, and each ended stream is compared with
//! the content of the store.
//!
//! A stream is proven to have lost something if its client or application has seen more than the store holds of the
//! stream, or if a record of the stream is in a log entry behind which a later claim did not begin. That its partition
//! lost entries of other streams is no proof.

mod log_ends;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::task::JoinHandle;
use tokio::time::{interval, timeout};

use self::log_ends::LogEnds;
use crate::clock;
use crate::damage::redis_image;
use crate::held::{Held, held};
use crate::ledger::Ledger;
use crate::redis_server::RedisServer;

/// Interval of the records.
const INTERVAL: Duration = Duration::from_millis(50);
/// Interval of the records of the stream numbers.
const NAMES: Duration = Duration::from_secs(1);
/// Deadline of one reading; a suspended Redis does not reply.
const READ_TIMEOUT: Duration = Duration::from_secs(2);

/// The content of the store when a stream had ended.
#[derive(Debug, Clone, Default)]
pub(crate) struct Evidence {
    /// The numbers of the stream; `None` if the store holds nothing of the stream.
    pub(crate) held: Option<Held>,
    /// Entries with a record of the stream are lost.
    pub(crate) lost_record: bool,
}

/// Numbers of a stream that its ends have seen.
#[derive(Debug, Clone, Copy)]
pub(crate) struct History {
    /// c2s messages acknowledged to the client or handled by the application.
    pub(crate) c2s: u64,
    /// s2c messages received by the client, or held by the core according to an instance.
    pub(crate) s2c: u64,
}

/// Records evidence until dropped.
pub(crate) struct ResetProofs {
    evidence: Arc<Mutex<BTreeMap<usize, Evidence>>>,
    recording: JoinHandle<()>,
}

struct Recorder {
    servers: Vec<RedisServer>,
    ledger: Arc<Ledger>,
    ends: LogEnds,
    /// The numbers of the streams of the run, as last recorded.
    names: BTreeMap<usize, BTreeSet<u64>>,
    named: Option<Instant>,
    evidence: Arc<Mutex<BTreeMap<usize, Evidence>>>,
}

impl ResetProofs {
    pub(crate) fn start(servers: Vec<RedisServer>, ledger: Arc<Ledger>) -> Self {
        let evidence = Arc::default();
        let (ends, names, named) = Default::default();
        let recorder =
            Recorder { servers, ledger, ends, names, named, evidence: Arc::clone(&evidence) };
        Self { evidence, recording: tokio::spawn(recorder.run()) }
    }

    pub(crate) fn of(&self, stream: usize) -> Option<Evidence> {
        self.evidence.lock().unwrap_or_else(PoisonError::into_inner).get(&stream).cloned()
    }
}

impl Drop for ResetProofs {
    fn drop(&mut self) {
        self.recording.abort();
    }
}

impl Evidence {
    /// Whether the stream has lost something that one of its ends had seen, or a record.
    pub(crate) fn is_proof(&self, history: History) -> bool {
        let has_seen_more = |held: &Held| history.c2s > held.c2s || history.s2c > held.s2c;
        self.lost_record || self.held.as_ref().is_some_and(has_seen_more)
    }
}

impl Recorder {
    async fn run(mut self) {
        let mut ticks = interval(INTERVAL);
        loop {
            ticks.tick().await;
            for place in 0..self.servers.len() {
                let server = self.servers[place].clone();
                // A server that does not reply is read again later.
                let _ = timeout(READ_TIMEOUT, self.record(&server)).await;
            }
        }
    }

    /// Records the content of a primary.
    async fn record(&mut self, server: &RedisServer) -> anyhow::Result<()> {
        let role: Vec<redis::Value> = server.command(&["ROLE"]).await?;
        if !matches!(role.first(), Some(redis::Value::BulkString(role)) if role == b"master") {
            return Ok(());
        }
        self.ends.record(server).await?;
        let known = self.evidence.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let is_new = |stream: &usize| {
            !self.ledger.end_reasons(*stream).is_empty() && !known.contains_key(stream)
        };
        let ended: Vec<_> = (0..self.ledger.streams()).filter(is_new).collect();
        let now = clock::now();
        if ended.is_empty() && self.named.is_some_and(|at| now.duration_since(at) < NAMES) {
            return Ok(());
        }
        let streams = held(&redis_image::read(server).await?);
        self.named = Some(now);
        for (number, held) in &streams {
            if let Some(stream) = held.stream {
                self.names.entry(stream).or_default().insert(*number);
            }
        }
        for stream in ended {
            let found = streams.iter().find(|(_, held)| held.stream == Some(stream));
            // A primary that has been replaced still holds the stream as an open one.
            if found.is_some_and(|(_, held)| !held.ended) {
                continue;
            }
            let evidence = Evidence {
                held: found.map(|(_, held)| held.clone()),
                lost_record: self
                    .names
                    .get(&stream)
                    .is_some_and(|numbers| self.ends.have_lost_lately(numbers, now)),
            };
            self.evidence.lock().unwrap_or_else(PoisonError::into_inner).insert(stream, evidence);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_is_proven_by_its_own_numbers_or_records() {
        let held = |c2s, s2c| Some(Held { c2s, s2c, ..Held::default() });
        let history = History { c2s: 5, s2c: 7 };
        let is_proof = |held, lost_record| Evidence { held, lost_record }.is_proof(history);
        for (held, lost_record, expected) in [
            (held(5, 7), false, false),
            (held(4, 7), false, true),
            (held(5, 6), false, true),
            (held(9, 9), true, true),
            (held(9, 9), false, false),
            (None, false, false),
            (None, true, true),
        ] {
            assert_eq!(is_proof(held.clone(), lost_record), expected, "{held:?}");
        }
    }
}

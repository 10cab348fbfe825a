//! One direction of a proxied connection: reads, delays and writes according to the conditions.

use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{mpsc, watch};
use tokio::time::sleep;

use super::{NetworkConditions, PipeDirection};
use crate::clock;
use crate::random::Random;

/// Maximum length of a read.
const CHUNK_BYTES: usize = 16 * 1024;
/// Capacity of a slow or delayed pipe in chunks, in addition to socket buffers.
const CHUNKS_IN_FLIGHT: usize = 16;
/// Interval of writes on a slow connection.
const SLOW_TICK: Duration = Duration::from_millis(50);

pub(super) struct Pipe {
    direction: PipeDirection,
    conditions: watch::Receiver<NetworkConditions>,
    random: Random,
}

/// Bytes with their due time.
struct Chunk {
    bytes: Vec<u8>,
    /// Earliest time of the write.
    due: Instant,
}

impl Pipe {
    pub(super) fn new(
        direction: PipeDirection,
        conditions: watch::Receiver<NetworkConditions>,
        seed: u64,
    ) -> Self {
        Self { direction, conditions, random: Random::new(seed) }
    }

    /// Forwards bytes until a regular end; `Err` if either socket fails.
    pub(super) async fn carry(
        self,
        from: OwnedReadHalf,
        to: &mut OwnedWriteHalf,
    ) -> Result<(), ()> {
        let (chunks, taken) = mpsc::channel(CHUNKS_IN_FLIGHT);
        let conditions = self.conditions.clone();
        let direction = self.direction;
        tokio::try_join!(self.read(from, chunks), write(direction, conditions, taken, to)).map(drop)
    }

    async fn read(mut self, mut from: OwnedReadHalf, to: mpsc::Sender<Chunk>) -> Result<(), ()> {
        let mut last_due = clock::now();
        loop {
            let mut bytes = vec![0; CHUNK_BYTES];
            let length = from.read(&mut bytes).await.map_err(drop)?;
            if length == 0 {
                return Ok(());
            }
            bytes.truncate(length);
            // Jitter preserves the order: a chunk is never due before its predecessor.
            last_due = last_due.max(clock::now() + self.delay());
            let chunk = Chunk { bytes, due: last_due };
            to.send(chunk).await.map_err(drop)?;
        }
    }

    fn delay(&mut self) -> Duration {
        match *self.conditions.borrow() {
            NetworkConditions::Delay { least, jitter } => {
                least + jitter.mul_f64(self.random.fraction())
            }
            NetworkConditions::Unimpaired
            | NetworkConditions::BlackHole
            | NetworkConditions::Slow { .. }
            | NetworkConditions::HalfOpen(_) => Duration::ZERO,
        }
    }
}

async fn write(
    direction: PipeDirection,
    mut conditions: watch::Receiver<NetworkConditions>,
    mut chunks: mpsc::Receiver<Chunk>,
    to: &mut OwnedWriteHalf,
) -> Result<(), ()> {
    while let Some(Chunk { bytes, due }) = chunks.recv().await {
        // The shortest sleep takes a millisecond.
        let delay = due.saturating_duration_since(clock::now());
        if !delay.is_zero() {
            sleep(delay).await;
        }
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            pass(direction, &mut conditions).await?;
            let now = *conditions.borrow();
            let length = portion(now, rest.len());
            to.write_all(&rest[..length]).await.map_err(drop)?;
            rest = &rest[length..];
            if let NetworkConditions::Slow { .. } = now {
                sleep(SLOW_TICK).await;
            }
        }
    }
    pass(direction, &mut conditions).await?;
    to.shutdown().await.map_err(drop)
}

/// Waits while the direction is blocked.
async fn pass(
    direction: PipeDirection,
    conditions: &mut watch::Receiver<NetworkConditions>,
) -> Result<(), ()> {
    let now = *conditions.borrow_and_update();
    if now.blocks(direction) && now.is_permanent() {
        return std::future::pending().await;
    }
    conditions.wait_for(|conditions| !conditions.blocks(direction)).await.map(drop).map_err(drop)
}

/// Number of bytes for the next write.
fn portion(conditions: NetworkConditions, length: usize) -> usize {
    match conditions {
        NetworkConditions::Slow { bytes_per_second } => {
            let portion = f64::from(bytes_per_second) * SLOW_TICK.as_secs_f64();
            length.min((portion as usize).max(1))
        }
        NetworkConditions::Unimpaired
        | NetworkConditions::Delay { .. }
        | NetworkConditions::BlackHole
        | NetworkConditions::HalfOpen(_) => length,
    }
}

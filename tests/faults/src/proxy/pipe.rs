//! One direction of one connection through a proxy: reads, holds back as the weather wants, writes.

use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{mpsc, watch};
use tokio::time::sleep;

use super::{Way, Weather};
use crate::clock;
use crate::random::Random;

/// Longest piece read at once.
const PIECE: usize = 16 * 1024;
/// Pieces on the way: what a slow or delayed connection holds, besides the system's buffers.
const PIECES: usize = 16;
/// A slow connection gets its bytes so often.
const SPOON: Duration = Duration::from_millis(50);

pub(super) struct Pipe {
    way: Way,
    weather: watch::Receiver<Weather>,
    random: Random,
}

/// Bytes on their way.
struct Piece {
    bytes: Vec<u8>,
    /// Not before.
    due: Instant,
}

impl Pipe {
    pub(super) fn new(way: Way, weather: watch::Receiver<Weather>, seed: u64) -> Self {
        Self { way, weather, random: Random::new(seed) }
    }

    /// Carries bytes until one end closes in order, or `Err` if one is gone.
    pub(super) async fn carry(
        self,
        from: OwnedReadHalf,
        to: &mut OwnedWriteHalf,
    ) -> Result<(), ()> {
        let (pieces, taken) = mpsc::channel(PIECES);
        let weather = self.weather.clone();
        let way = self.way;
        tokio::try_join!(self.read(from, pieces), write(way, weather, taken, to)).map(drop)
    }

    async fn read(mut self, mut from: OwnedReadHalf, to: mpsc::Sender<Piece>) -> Result<(), ()> {
        let mut last_due = clock::now();
        loop {
            let mut bytes = vec![0; PIECE];
            let length = from.read(&mut bytes).await.map_err(drop)?;
            if length == 0 {
                return Ok(());
            }
            bytes.truncate(length);
            // Jitter does not reorder: a piece is never due before the one in front of it.
            last_due = last_due.max(clock::now() + self.delay());
            let piece = Piece { bytes, due: last_due };
            to.send(piece).await.map_err(drop)?;
        }
    }

    fn delay(&mut self) -> Duration {
        match *self.weather.borrow() {
            Weather::Delay { least, jitter } => least + jitter.mul_f64(self.random.fraction()),
            Weather::Fair | Weather::BlackHole | Weather::Slow { .. } | Weather::HalfOpen(_) => {
                Duration::ZERO
            }
        }
    }
}

async fn write(
    way: Way,
    mut weather: watch::Receiver<Weather>,
    mut pieces: mpsc::Receiver<Piece>,
    to: &mut OwnedWriteHalf,
) -> Result<(), ()> {
    while let Some(Piece { bytes, due }) = pieces.recv().await {
        sleep(due.saturating_duration_since(clock::now())).await;
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            pass(way, &mut weather).await?;
            let now = *weather.borrow();
            let length = portion(now, rest.len());
            to.write_all(&rest[..length]).await.map_err(drop)?;
            rest = &rest[length..];
            if let Weather::Slow { .. } = now {
                sleep(SPOON).await;
            }
        }
    }
    pass(way, &mut weather).await?;
    to.shutdown().await.map_err(drop)
}

/// Waits while nothing passes.
async fn pass(way: Way, weather: &mut watch::Receiver<Weather>) -> Result<(), ()> {
    let now = *weather.borrow_and_update();
    if now.stalls(way) && now.is_for_ever() {
        return std::future::pending().await;
    }
    weather.wait_for(|weather| !weather.stalls(way)).await.map(drop).map_err(drop)
}

/// How much goes at once.
fn portion(weather: Weather, length: usize) -> usize {
    match weather {
        Weather::Slow { bytes_per_second } => {
            let spoon = f64::from(bytes_per_second) * SPOON.as_secs_f64();
            length.min((spoon as usize).max(1))
        }
        Weather::Fair | Weather::Delay { .. } | Weather::BlackHole | Weather::HalfOpen(_) => length,
    }
}

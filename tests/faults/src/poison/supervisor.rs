//! The supervisor of the application instances: restarts each dead one after a delay, and counts the deaths.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use tokio::time::sleep;

use crate::clock;
use crate::fleet::{Fleet, Role};

const POLL_INTERVAL: Duration = Duration::from_millis(10);

pub(super) struct Supervisor {
    delay: Duration,
    /// Restarts by index of the process.
    due: BTreeMap<usize, Instant>,
    deaths: u64,
    other_exits: Vec<String>,
}

impl Supervisor {
    pub(super) fn new(delay: Duration) -> Self {
        Self { delay, due: BTreeMap::new(), deaths: 0, other_exits: Vec::new() }
    }

    /// Deaths of instances.
    pub(super) fn deaths(&self) -> u64 {
        self.deaths
    }

    /// Exits of other processes.
    pub(super) fn other_exits(self) -> Vec<String> {
        self.other_exits
    }

    /// Supervises for the given time.
    pub(super) async fn watch(&mut self, fleet: &mut Fleet, time: Duration) -> anyhow::Result<()> {
        let start = clock::now();
        while clock::now().duration_since(start) < time {
            self.poll(fleet)?;
            sleep(POLL_INTERVAL).await;
        }
        Ok(())
    }

    /// Supervises until an error.
    pub(super) async fn serve(&mut self, fleet: &mut Fleet) -> anyhow::Error {
        loop {
            if let Err(error) = self.poll(fleet) {
                return error;
            }
            sleep(POLL_INTERVAL).await;
        }
    }

    fn poll(&mut self, fleet: &mut Fleet) -> anyhow::Result<()> {
        let now = clock::now();
        for (place, member) in fleet.members.iter_mut().enumerate() {
            let Some(status) = member.process.ended() else { continue };
            if member.role == Role::App {
                self.deaths += 1;
                self.due.insert(place, now + self.delay);
            } else {
                self.other_exits.push(format!("{} ended ({status})", member.process.name()));
            }
        }
        let due: Vec<usize> =
            self.due.iter().filter(|(_, at)| **at <= now).map(|(place, _)| *place).collect();
        for place in due {
            self.due.remove(&place);
            let member = fleet.members.get_mut(place).context("no such process")?;
            member.process.spawn()?;
        }
        Ok(())
    }
}

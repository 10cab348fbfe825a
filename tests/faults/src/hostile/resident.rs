//! Resident memory of the processes of `hostile`: before, during and after the attack, and the documented budgets
//! (`docs/guarantees.md` and `docs/operations.md`, "Size a deployment").

use std::time::Duration;

use anyhow::Context as _;
use serde::Serialize;
use tokio::time::sleep;

use super::is_watched;
use super::kind::{Kind, Kinds};
use crate::clock;
use crate::fleet::{Fleet, Role};
use crate::memory;

const MEGABYTE: f64 = 1e6;
const SAMPLE_INTERVAL: Duration = Duration::from_millis(250);
/// Deadline for the return of memory.
const RETURN_TIME: Duration = Duration::from_secs(60);
/// Memory of Redis beside the content: commands under way, output and the append-only log.
const REDIS_BUFFERS: u64 = 64 << 20;
/// Default of `--checkpoint-bytes` and of `--partitions`: the log of ended streams that Redis holds until the next
/// checkpoints.
const LOG: u64 = 64 << 20;

/// Memory of an idle connection and of a stream.
const CONNECTION: u64 = 19_000;
const STREAM: u64 = 1_900;
/// Default of `--max-unfinished-bytes`.
const UNFINISHED: u64 = 64 << 20;

/// The parameters of the budgets.
#[derive(Debug, Clone)]
pub(super) struct Budget {
    pub(super) kinds: Kinds,
    pub(super) clients: usize,
    pub(super) edges: usize,
    pub(super) cores: usize,
    /// Streams of the attack at the same time.
    pub(super) streams: usize,
    /// `maxmemory` of Redis.
    pub(super) redis: u64,
    /// Permitted ratio of the memory after the attack to that before.
    pub(super) growth: f64,
}

/// Memory of one process, in bytes.
#[derive(Debug)]
struct Member {
    place: usize,
    name: String,
    role: Role,
    base: u64,
    peak: u64,
    after: u64,
    /// Time from the end of the attack to the return; `None` at the deadline.
    returned: Option<Duration>,
}

/// Memory of the processes during a run.
pub(super) struct Resident {
    members: Vec<Member>,
    budget: Budget,
    /// Content of Redis before the attack.
    content: u64,
}

/// Memory of one process in megabytes, for the report.
#[derive(Debug, Serialize)]
pub(super) struct MemoryFigures {
    pub(super) process: String,
    pub(super) base: f64,
    pub(super) peak: f64,
    pub(super) budget: f64,
    pub(super) after: f64,
    /// Seconds until the return; `None` at the deadline.
    pub(super) returned: Option<f64>,
}

impl Budget {
    /// The budget of a process that has this memory without hostile clients.
    fn of(&self, role: Role, base: u64) -> u64 {
        let share = |bytes: u64, processes: usize| bytes / processes.max(1) as u64;
        let sum = |bytes: fn(Kind) -> u64| self.kinds.sum(self.clients, bytes);
        match role {
            Role::Edge => {
                let connections = self.clients as u64 * CONNECTION;
                base + UNFINISHED + share(connections + sum(Kind::edge_bytes), self.edges)
            }
            Role::Core => {
                // A client begins anew with another stream while its last one is idle, and a message is encoded
                // while it is written to the store. Placement is not exactly equal.
                let content = 3 * sum(Kind::stream_bytes);
                let streams = self.streams as u64 * STREAM;
                base + share((content + streams) * 5 / 4, self.cores)
            }
            Role::Redis => base + self.redis + REDIS_BUFFERS,
            Role::Sentinel | Role::App => u64::MAX,
        }
    }
}

impl Resident {
    /// Reads the memory before the attack.
    pub(super) async fn start(fleet: &Fleet, budget: Budget) -> anyhow::Result<Self> {
        let mut members = Vec::new();
        for (place, member) in fleet.members.iter().enumerate() {
            if is_watched(member.role) {
                let (name, role) = (member.process.name().to_owned(), member.role);
                let base = resident(fleet, place)?;
                let (peak, after, returned) = (base, base, None);
                members.push(Member { place, name, role, base, peak, after, returned });
            }
        }
        Ok(Self { members, budget, content: content(fleet).await? })
    }

    /// Samples for a while; returns unexpected exits of processes.
    pub(super) async fn watch(
        &mut self,
        fleet: &mut Fleet,
        time: Duration,
    ) -> anyhow::Result<Vec<String>> {
        let (start, mut ended) = (clock::now(), Vec::new());
        while clock::now().duration_since(start) < time {
            ended.extend(fleet.restart_ended()?);
            for member in &mut self.members {
                member.peak = member.peak.max(resident(fleet, member.place)?);
            }
            sleep(SAMPLE_INTERVAL).await;
        }
        Ok(ended)
    }

    /// Waits until the memory of all processes has returned, or for the deadline. Redis counts its content, since its
    /// allocator returns memory late.
    pub(super) async fn wait_for_return(&mut self, fleet: &Fleet) -> anyhow::Result<()> {
        let start = clock::now();
        while clock::now().duration_since(start) < RETURN_TIME
            && self.members.iter().any(|member| member.returned.is_none())
        {
            sleep(SAMPLE_INTERVAL).await;
            let content = content(fleet).await?;
            for member in &mut self.members {
                member.after = resident(fleet, member.place)?;
                let (now, base) = if member.role == Role::Redis {
                    (content, self.content + LOG)
                } else {
                    (member.after, member.base)
                };
                let is_back = now as f64 <= base as f64 * self.budget.growth;
                if is_back && member.returned.is_none() {
                    member.returned = Some(clock::now().duration_since(start));
                }
            }
        }
        Ok(())
    }

    pub(super) fn figures(&self) -> Vec<MemoryFigures> {
        let megabytes = |bytes: u64| bytes as f64 / MEGABYTE;
        let of = |member: &Member| MemoryFigures {
            process: member.name.clone(),
            base: megabytes(member.base),
            peak: megabytes(member.peak),
            budget: megabytes(self.budget.of(member.role, member.base)),
            after: megabytes(member.after),
            returned: member.returned.map(|time| time.as_secs_f64()),
        };
        self.members.iter().map(of).collect()
    }
}

/// Bytes of the content of the only Redis server.
async fn content(fleet: &Fleet) -> anyhow::Result<u64> {
    let server = fleet.servers.first().context("there is no Redis")?;
    Ok(server.figure("memory", "used_memory").await? as u64)
}

fn resident(fleet: &Fleet, place: usize) -> anyhow::Result<u64> {
    let process = &fleet.members[place].process;
    let pid = process.pid().with_context(|| format!("{} does not run", process.name()))?;
    Ok(memory::of(pid)?.resident)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_grows_with_the_clients_of_the_process() {
        const BASE: u64 = 1000;
        let of = |clients, edges, role| {
            Budget {
                kinds: Kinds::new(&[]),
                clients,
                edges,
                cores: 1,
                streams: clients,
                redis: 1,
                growth: 1.2,
            }
            .of(role, BASE)
        };
        assert!(of(200, 2, Role::Edge) < of(400, 2, Role::Edge));
        let shared = [1, 2].map(|edges| of(400, edges, Role::Edge) - BASE - UNFINISHED);
        assert_eq!(shared[1], shared[0] / 2);
        let parked = Kinds::new(&[]).count(Kind::Gap, 140) as u64 * (1 << 20);
        assert!(of(140, 1, Role::Core) > BASE + 2 * parked);
    }
}

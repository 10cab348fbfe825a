//! Keeps the links up: one task per address of a core makes one call after the other, with a pause that
//! grows; another looks the names up again. No link waits for another. Run by `edge.rs`.

use std::collections::{BTreeSet, HashMap};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tonic::transport::{Channel, Endpoint};

use super::call::{self, CallError};
use super::channel::tune;
use super::cores::{Cores, Names, Whereabouts};
use super::directory::Directory;
use crate::clock;

/// Pause before the first new attempt after a stable call. Each failure doubles the pause.
const FIRST_PAUSE: Duration = Duration::from_millis(50);

/// A link that was up for this long resets the pause; one that fails sooner lets the pause grow.
const STABLE: Duration = Duration::from_secs(10);

/// Longest pause: a core that restarts is found again within a second.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Names are looked up again at the latest after this time: a core that is added is found by then.
const LOOKUP_EVERY: Duration = Duration::from_secs(5);

/// Links to all cores, for ever.
pub(super) async fn dial(cores: Cores, edge_id: String, directory: Directory) {
    let lost = Arc::new(Notify::new());
    let line = Line { edge_id, directory, lost };
    match cores.0 {
        Whereabouts::Channel(channel) => {
            let (_wanted, wanted) = watch::channel(true);
            line.keep_up("here".to_owned(), channel, wanted).await;
        }
        Whereabouts::Names(names) => follow(names, line).await,
    }
}

/// Dials what the names stand for, as that changes.
async fn follow(mut names: Names, line: Line) {
    let mut links = Links::default();
    loop {
        links.dial(&names.resolve().await, &line);
        let _ = tokio::time::timeout(LOOKUP_EVERY, line.lost.notified()).await;
    }
}

/// The link tasks; they end with this.
#[derive(Default)]
struct Links {
    /// Whether the address is still one of a core; closed when its task has ended.
    wanted: HashMap<SocketAddr, watch::Sender<bool>>,
    tasks: JoinSet<()>,
}

impl Links {
    fn dial(&mut self, addresses: &BTreeSet<SocketAddr>, line: &Line) {
        while self.tasks.try_join_next().is_some() {}
        self.wanted.retain(|_, wanted| !wanted.is_closed());
        for (address, wanted) in &self.wanted {
            wanted.send_replace(addresses.contains(address));
        }
        for &address in addresses {
            if self.wanted.contains_key(&address) {
                continue;
            }
            let Ok(endpoint) = Endpoint::from_shared(format!("http://{address}")) else { continue };
            let channel = tune(endpoint).connect_lazy();
            let (sender, wanted) = watch::channel(true);
            self.tasks.spawn(line.clone().keep_up(address.to_string(), channel, wanted));
            self.wanted.insert(address, sender);
        }
    }
}

/// What every link task needs.
#[derive(Clone)]
struct Line {
    edge_id: String,
    directory: Directory,
    /// A link that was up is lost.
    lost: Arc<Notify>,
}

impl Line {
    /// Makes one call after the other, until the core is down and not wanted.
    async fn keep_up(self, address: String, channel: Channel, wanted: watch::Receiver<bool>) {
        let mut pause = FIRST_PAUSE;
        let mut complained = false;
        while *wanted.borrow() {
            let mut up_since = None;
            let up = |core: &str| {
                tracing::info!(core, address, "link up");
                up_since = Some(clock::now());
            };
            let call = call::make(channel.clone(), &self.edge_id, &self.directory, up);
            let Err(error) = Box::pin(call).await;
            self.report(&address, &error, up_since.is_some(), complained);
            complained = up_since.is_none();
            if up_since.is_some_and(|since| clock::now() - since >= STABLE) {
                pause = FIRST_PAUSE;
            }
            tokio::time::sleep(pause / 2 + clock::random_part(pause / 2)).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
        tracing::info!(address, "no core's address any more");
    }

    fn report(&self, address: &str, error: &CallError, was_up: bool, complained: bool) {
        if was_up {
            self.directory.metrics().link_losses.inc();
            self.lost.notify_one();
            tracing::warn!(%error, address, "link lost");
        } else if complained {
            tracing::debug!(%error, address, "no link");
        } else if matches!(error, CallError::Unfit(_)) {
            tracing::error!(%error, address, "no link to a core that does not fit; trying on");
        } else {
            tracing::warn!(%error, address, "no link yet; trying on");
        }
    }
}

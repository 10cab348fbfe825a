//! Dials the cores: one task per address makes calls in sequence with a growing back-off, and one task resolves the
//! names again. Links are independent of each other. Run by `edge.rs`.

use std::collections::{BTreeSet, HashMap};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use minerva_runtime::recurring::RecurringFaults;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tonic::transport::{Channel, Endpoint};

use super::call::{self, CallError};
use super::channel::tune;
use super::cores::{Cores, Names, Source};
use super::directory::Directory;
use crate::clock;

/// Pause before the first new attempt after a stable call. Each failure doubles the pause.
const FIRST_PAUSE: Duration = Duration::from_millis(50);

/// A link that was up for this long resets the pause; one that fails sooner lets the pause grow.
const STABLE: Duration = Duration::from_secs(10);

/// Longest pause: a core that restarts is found again within a second.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Interval for resolving names again, after which an added core is found.
const LOOKUP_EVERY: Duration = Duration::from_secs(5);

/// Maintains links to all cores; never returns.
pub(super) async fn dial(cores: Cores, edge_id: String, directory: Directory) {
    let lost = Arc::new(Notify::new());
    let context = LinkContext { edge_id, directory, lost };
    match cores.0 {
        Source::Channel(channel) => {
            let (_wanted, wanted) = watch::channel(true);
            context.keep_linked("here".to_owned(), channel, wanted).await;
        }
        Source::Names(names) => follow(names, context).await,
    }
}

/// Dials the addresses of the names and follows their changes.
async fn follow(mut names: Names, context: LinkContext) {
    let mut links = Links::default();
    loop {
        links.dial(&names.resolve().await, &context);
        let _ = tokio::time::timeout(LOOKUP_EVERY, context.lost.notified()).await;
    }
}

/// Link tasks by address; aborted on drop.
#[derive(Default)]
struct Links {
    /// Whether the address still belongs to a core; closed when the task has ended.
    wanted: HashMap<SocketAddr, watch::Sender<bool>>,
    tasks: JoinSet<()>,
}

impl Links {
    fn dial(&mut self, addresses: &BTreeSet<SocketAddr>, context: &LinkContext) {
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
            self.tasks.spawn(context.clone().keep_linked(address.to_string(), channel, wanted));
            self.wanted.insert(address, sender);
        }
    }
}

/// Context shared by all link tasks.
#[derive(Clone)]
struct LinkContext {
    edge_id: String,
    directory: Directory,
    /// Notified after the loss of an established link.
    lost: Arc<Notify>,
}

impl LinkContext {
    /// Makes calls in sequence until the address no longer belongs to a core.
    async fn keep_linked(self, address: String, channel: Channel, wanted: watch::Receiver<bool>) {
        let mut pause = FIRST_PAUSE;
        let mut reported = false;
        while *wanted.borrow() {
            let mut up_since = None;
            let up = |core: &str| {
                tracing::info!(core, address, "link up");
                up_since = Some(clock::now());
            };
            let call = call::make(channel.clone(), &self.edge_id, &self.directory, up);
            let Err(error) = Box::pin(call).await;
            self.report(&address, &error, up_since.is_some(), reported);
            reported = up_since.is_none();
            if up_since.is_some_and(|since| clock::now() - since >= STABLE) {
                pause = FIRST_PAUSE;
            }
            tokio::time::sleep(pause / 2 + clock::random_part(pause / 2)).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
        tracing::info!(address, "the address no longer belongs to a core");
    }

    fn report(&self, address: &str, error: &CallError, was_up: bool, reported: bool) {
        if was_up {
            self.directory.metrics().link_losses.inc();
            self.lost.notify_one();
            static FAULTS: RecurringFaults = RecurringFaults::new();
            if let Some(losses) = FAULTS.record(&format!("{address}: {error}"), clock::now()) {
                tracing::warn!(%error, address, losses, "link lost");
            }
        } else if reported {
            tracing::debug!(%error, address, "no link");
        } else if error.is_incompatible() {
            tracing::error!(%error, address, "cannot link to an incompatible core; retrying");
        } else {
            tracing::warn!(%error, address, "cannot establish the link; retrying");
        }
    }
}

//! Dials the cores: one task per address makes calls in sequence with a growing back-off, and one task resolves the
//! names again. Links are independent of each other. Run by `edge.rs`.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use minerva_runtime::recurring::RecurringFaults;
use minerva_runtime::tls::{TlsClient, TlsConnector, explain};
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
            let path = Path { address: "here".to_owned(), channel, tls: None };
            context.keep_linked(path, wanted).await;
        }
        Source::Names(names) => follow(names, context).await,
    }
}

/// Dials the addresses of the names and follows their changes.
async fn follow(mut names: Names, context: LinkContext) {
    let mut links = Links::default();
    loop {
        let addresses = names.resolve().await;
        links.dial(&addresses, names.tls.as_ref(), &context);
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
    fn dial(
        &mut self,
        addresses: &BTreeMap<SocketAddr, String>,
        tls: Option<&TlsClient>,
        context: &LinkContext,
    ) {
        while self.tasks.try_join_next().is_some() {}
        self.wanted.retain(|_, wanted| !wanted.is_closed());
        for (address, wanted) in &self.wanted {
            wanted.send_replace(addresses.contains_key(address));
        }
        for (&address, name) in addresses {
            if self.wanted.contains_key(&address) {
                continue;
            }
            let Some(path) = Path::to(address, name, tls) else { continue };
            let (sender, wanted) = watch::channel(true);
            self.tasks.spawn(context.clone().keep_linked(path, wanted));
            self.wanted.insert(address, sender);
        }
    }
}

/// The way to one core.
struct Path {
    address: String,
    channel: Channel,
    /// Connector of the channel; `None` without TLS.
    tls: Option<TlsConnector>,
}

impl Path {
    /// The way to an address of `name`, a host and a port. `None`: the address makes no URI.
    fn to(address: SocketAddr, name: &str, tls: Option<&TlsClient>) -> Option<Self> {
        let endpoint = tune(Endpoint::from_shared(format!("http://{address}")).ok()?);
        let host = name.rsplit_once(':').map_or(name, |(host, _)| host);
        let tls = tls.map(|client| TlsConnector::new(client.clone(), address, host));
        let channel = match &tls {
            Some(connector) => endpoint.connect_with_connector_lazy(connector.clone()),
            None => endpoint.connect_lazy(),
        };
        Some(Self { address: address.to_string(), channel, tls })
    }

    /// Problem and fix if the cause of a failed call is the connection: a channel reports such a fault as a broken call.
    fn fault(&self, error: &CallError) -> Option<String> {
        self.tls.as_ref().and_then(TlsConnector::take_fault).or_else(|| explain(error))
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
    async fn keep_linked(self, path: Path, wanted: watch::Receiver<bool>) {
        let address = path.address.as_str();
        let mut pause = FIRST_PAUSE;
        let mut reported = None;
        while *wanted.borrow() {
            let mut up_since = None;
            let up = |core: &str| {
                tracing::info!(core, address, "link up");
                up_since = Some(clock::now());
            };
            let call = call::make(path.channel.clone(), &self.edge_id, &self.directory, up);
            let Err(error) = Box::pin(call).await;
            let fault = path.fault(&error);
            let is_reported = reported.as_ref() == Some(&fault);
            self.report(address, &error, fault.as_deref(), up_since.is_some(), is_reported);
            reported = up_since.is_none().then_some(fault);
            if up_since.is_some_and(|since| clock::now() - since >= STABLE) {
                pause = FIRST_PAUSE;
            }
            tokio::time::sleep(pause / 2 + clock::random_part(pause / 2)).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
        tracing::info!(address, "the address no longer belongs to a core");
    }

    /// Logs the end of a call; `fault` replaces the text of the error.
    fn report(
        &self,
        address: &str,
        error: &CallError,
        fault: Option<&str>,
        was_up: bool,
        is_reported: bool,
    ) {
        let is_incompatible = error.is_incompatible();
        let error = fault.map_or_else(|| error.to_string(), str::to_owned);
        if was_up {
            self.directory.metrics().link_losses.inc();
            self.lost.notify_one();
            static FAULTS: RecurringFaults = RecurringFaults::new();
            if let Some(losses) = FAULTS.record(&format!("{address}: {error}"), clock::now()) {
                tracing::warn!(%error, address, losses, "link lost");
            }
        } else if is_reported {
            tracing::debug!(%error, address, "no link");
        } else if is_incompatible {
            tracing::error!(%error, address, "cannot link to an incompatible core; retrying");
        } else {
            tracing::warn!(%error, address, "cannot establish the link; retrying");
        }
    }
}

//! A core: the ownership task with the partitions, the servers in front of them, and the graceful stop.
//!
//! Created by a program or a test.

use std::error::Error;
use std::future::ready;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures_util::Stream;
use minerva_proto::PartitionHash;
use minerva_proto::app::app_service_server::AppServiceServer;
use minerva_proto::app::stream_service_server::StreamServiceServer;
use minerva_proto::link::pb::link_service_server::LinkServiceServer;
use minerva_runtime::tls::{Port, TlsServer};
use minerva_runtime::{ConfigError, Readiness};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tonic::transport::server::TcpIncoming;
use tonic_health::server::HealthReporter;

use crate::access::{Access, Origin, TokenCommandError, TokenSource};
use crate::api::Api;
use crate::app::AppServer;
use crate::clock;
use crate::config::{Config, MAX_GRPC_MESSAGE};
use crate::inspect::StoreCommandError;
use crate::jwt::Authenticator;
use crate::limits::Limits;
use crate::link::LinkServer;
use crate::memory_budget::{MemoryBudget, watch_store};
use crate::metrics::Metrics;
use crate::ownership::{self, CoreContext, Ownership, ServiceState};
use crate::partition::PartitionTable;
use crate::peer::{self, Established};
use crate::server::{self, HttpVersions};
use crate::stop::{StopSource, StopToken};
use crate::store::metered::MeteredStore;
use crate::store::{PartitionLayout, Store, StoreError};
use crate::stream_service::StreamServer;

/// Pause between two attempts to reach an unavailable store at the start.
const STORE_PAUSE: Duration = Duration::from_millis(250);
/// Interval at which the readiness is determined anew.
const READINESS_INTERVAL: Duration = Duration::from_millis(250);
/// Time for the partitions to finish their turns in flight and to write their checkpoints.
const STOP_PARTITIONS: Duration = Duration::from_secs(7);
/// Time for the calls to end afterwards.
const STOP_SERVERS: Duration = Duration::from_secs(2);

/// A running core. Dropping a core is like a crash; [`Core::stop`] hands the partitions over.
pub struct Core {
    id: Arc<str>,
    partitions: PartitionTable,
    service: watch::Receiver<ServiceState>,
    heartbeat_interval: Duration,
    app_timeout: Duration,
    /// Newest version of the wire protocol that clients may use.
    max_version: u32,
    authenticator: Arc<Authenticator>,
    /// The error that ended the ownership task.
    failure: watch::Receiver<Option<StoreError>>,
    access: Access,
    api: Api,
    health: HealthReporter,
    metrics: Metrics,
    stop: StopSource,
    /// Makes the ownership task release all partitions.
    stop_ownership: oneshot::Sender<()>,
    /// The ownership task; aborted on drop.
    ownership: JoinSet<()>,
    /// Certificates of the ports; `None` without TLS.
    tls: Option<TlsServer>,
    /// The tasks that sample the memory and follow the certificates; aborted on drop.
    _watches: JoinSet<()>,
    servers: JoinSet<()>,
}

/// A core could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A store error that a retry cannot resolve.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// An option or a certificate cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The API server could not be created.
    #[error("the API server: {0}")]
    Api(String),
}

/// Returns true for an error that an operator resolves by changing an option.
///
/// `error` comes from opening a store or starting a core.
pub fn is_config_error(error: &(dyn Error + 'static)) -> bool {
    let store = match error.downcast_ref::<StartError>() {
        Some(StartError::Store(error)) => Some(error),
        Some(StartError::Config(_)) => return true,
        Some(StartError::Api(_)) => None,
        None => match error.downcast_ref::<StoreCommandError>() {
            Some(StoreCommandError::Store(error)) => Some(error),
            Some(_) => None,
            None => error.downcast_ref::<StoreError>(),
        },
    };
    let is_token_option =
        error.downcast_ref::<TokenCommandError>().is_some_and(TokenCommandError::is_config);
    is_token_option || error.is::<ConfigError>() || matches!(store, Some(StoreError::Config(_)))
}

impl Core {
    /// Joins the cores that share the store: claims the partitions assigned to this core and recovers their streams.
    ///
    /// A partition of another core is served as soon as that core releases the partition or the lease expires. A
    /// partition that cannot be read is tried again from time to time, see [`Core::obstacle`].
    ///
    /// Waits as long as the store is unavailable.
    ///
    /// # Errors
    /// If the store belongs to another deployment, or a newer program has written to the store.
    pub async fn start(
        config: &Config,
        store: Arc<dyn Store>,
        metrics: Metrics,
    ) -> Result<Self, StartError> {
        Self::start_reporting(config, store, metrics, |_| {}).await
    }

    /// Like [`Core::start`]; `report` receives the reason of each wait for the store, and `None` at its end. Cancel safe.
    ///
    /// # Errors
    /// Those of [`Core::start`].
    pub async fn start_reporting(
        config: &Config,
        store: Arc<dyn Store>,
        metrics: Metrics,
        report: impl Fn(Option<&str>),
    ) -> Result<Self, StartError> {
        let tls = config.mtls.files()?.map(TlsServer::server).transpose()?;
        let id: Arc<str> = unique_name().into();
        let authenticator = Arc::new(Authenticator::new(&config.jwt, &config.limits)?);
        let store: Arc<dyn Store> = Arc::new(MeteredStore::new(store, metrics.clone()));
        let layout = layout(&*store, config.partitions, report).await?;
        let tokens = load_tokens(&store, config.access.token_file.as_ref()).await?;
        let partitions = PartitionTable::new(layout.count, PartitionHash::new(layout.hash_key));
        let memory =
            Arc::new(MemoryBudget::new(config.memory_limit(), Arc::clone(&metrics.counters)));
        let mut context = CoreContext::new(
            Arc::clone(&id),
            store,
            partitions.clone(),
            config.limits.clone(),
            config.partition.clone(),
            metrics.clone(),
        );
        context.memory = Arc::clone(&memory);
        let mut watches = watches(memory, Arc::clone(&context.store), metrics.clone(), tls.clone());
        keep_keys(&mut watches, &authenticator);
        let startup = context.startup.clone();
        let service = context.service.subscribe();
        let (stop_ownership, ownership_stopped) = oneshot::channel::<()>();
        let mut ownership = JoinSet::new();
        let running = Ownership::new(context, config.partition.standby).run(async move {
            // If the core is dropped, this task is aborted.
            let _ = ownership_stopped.await;
        });
        let (report_failure, failure) = watch::channel(None);
        ownership.spawn(async move {
            let _ = running.await.map_err(|error| report_failure.send_replace(Some(error)));
        });
        startup.wait().await?;
        let stop = StopSource::new();
        let access = Access::new(&config.access, tokens.subscribe(), metrics.clone());
        watches.spawn(tokens.watch());
        let of_calls = (access.clone(), metrics.clone(), stop.token());
        let (api, health) = new_api(&partitions, &id, &config.limits, of_calls).await?;
        let servers = JoinSet::new();
        Ok(Self {
            id,
            partitions,
            service,
            heartbeat_interval: ownership::heartbeat_interval(config.partition.lease),
            app_timeout: config.app_timeout,
            max_version: config.max_version,
            authenticator,
            failure,
            access,
            api,
            health,
            metrics,
            stop,
            stop_ownership,
            ownership,
            tls,
            _watches: watches,
            servers,
        })
    }

    /// Waits for an error after which this core serves nothing more: the store has failed for good, or has content that
    /// this program cannot read. The program must stop the core and end. Cancel safe.
    pub async fn failed(&self) -> StoreError {
        let mut failure = self.failure.clone();
        loop {
            if let Some(error) = failure.borrow_and_update().clone() {
                return error;
            }
            if failure.changed().await.is_err() {
                return std::future::pending().await;
            }
        }
    }

    /// Reports the readiness of this core for ever, see [`Core::obstacle`]. Cancel safe.
    pub async fn report_readiness(&self, readiness: &Readiness) {
        loop {
            self.update_readiness(readiness);
            sleep(READINESS_INTERVAL).await;
        }
    }

    /// Reports the current readiness of this core.
    pub fn update_readiness(&self, readiness: &Readiness) {
        match self.obstacle() {
            Some(obstacle) => readiness.set_unready(obstacle),
            None => readiness.set_ready(),
        }
    }

    /// The reason why this core is not ready: nothing becomes durable, or an assigned partition is not served.
    pub fn obstacle(&self) -> Option<String> {
        let durability = &self.metrics.counters.durability;
        let stalled = durability.obstacle(clock::now(), self.heartbeat_interval);
        stalled.or_else(|| self.service.borrow().obstacle())
    }

    /// The check of the header `authorization` for `/metrics`: a token with the right `metrics`.
    pub fn metrics_access(&self) -> impl Fn(&[u8]) -> bool + Send + Sync + use<> {
        let access = self.access.clone();
        move |authorization| access.may_read_metrics(authorization)
    }

    /// Serves edges that connect over TCP.
    pub fn serve_link_tcp(&mut self, listener: TcpListener) {
        let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
        let tls = self.tls.clone();
        let establish = move |socket| peer::establish(socket, tls.clone(), Port::Link);
        self.serve_link_from(incoming, establish);
    }

    /// Serves edges over byte streams within the process, such as pipes. These edges need no token.
    pub fn serve_link<IO>(&mut self, incoming: impl Stream<Item = io::Result<IO>> + Send + 'static)
    where
        IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        self.serve_link_from(incoming, |io| ready(Some((io, Origin::InProcess, None))));
    }

    fn serve_link_from<A, IO, E>(
        &mut self,
        incoming: impl Stream<Item = io::Result<A>> + Send + 'static,
        establish: impl Fn(A) -> E + Send + Sync + 'static,
    ) where
        A: Send + 'static,
        IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
        E: Future<Output = Established<IO>> + Send + 'static,
    {
        let server = LinkServer::new(
            self.partitions.clone(),
            Arc::clone(&self.id),
            self.access.clone(),
            self.metrics.clone(),
            self.stop.token(),
            self.max_version,
            Arc::clone(&self.authenticator),
        );
        let service = LinkServiceServer::new(server)
            .max_decoding_message_size(MAX_GRPC_MESSAGE)
            .max_encoding_message_size(MAX_GRPC_MESSAGE);
        let (stop, port) = (self.stop.token(), (server::EDGE_TIMEOUT, HttpVersions::Two));
        self.servers.spawn(server::serve(service, incoming, establish, port, stop));
    }

    /// The certificates of the ports, which a program loads again at SIGHUP; `None` without TLS.
    pub fn certificates(&self) -> Option<TlsServer> {
        self.tls.clone()
    }

    /// Serves application services.
    pub fn serve_api(&mut self, listener: TcpListener) {
        let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
        let (stop, tls) = (self.stop.token(), self.tls.clone());
        let port = (self.app_timeout, HttpVersions::OneAndTwo);
        let establish = move |socket| peer::establish(socket, tls.clone(), Port::Api);
        self.servers.spawn(server::serve(self.api.clone(), incoming, establish, port, stop));
    }

    /// Stops gracefully: partitions finish their turns in flight, write a checkpoint and are released; then calls end.
    ///
    /// Other cores can claim the partitions at once. Edges keep their connections and applications their streams, and
    /// continue with the next owner. Takes at most 9 s, also without a response of the store or the peers.
    pub async fn stop(mut self) {
        self.health.set_not_serving::<AppServiceServer<AppServer>>().await;
        self.health.set_not_serving::<StreamServiceServer<StreamServer>>().await;
        let _ = self.stop_ownership.send(());
        let released = async { while self.ownership.join_next().await.is_some() {} };
        if timeout(STOP_PARTITIONS, released).await.is_err() {
            tracing::warn!(
                "not all partitions stopped in time; their next owner recovers them from the log"
            );
        }
        self.stop.stop();
        let all_served = async { while self.servers.join_next().await.is_some() {} };
        if timeout(STOP_SERVERS, all_served).await.is_err() {
            tracing::debug!("calls were aborted");
        }
    }
}

/// The tasks that sample the memory and follow the certificates.
fn watches(
    memory: Arc<MemoryBudget>,
    store: Arc<dyn Store>,
    metrics: Metrics,
    tls: Option<TlsServer>,
) -> JoinSet<()> {
    let mut watches = JoinSet::new();
    watches.spawn(watch_store(memory, store, move |memory| metrics.report_memory(memory)));
    if let Some(tls) = tls {
        watches.spawn(tls.follow(peer::report_reload));
    }
    watches
}

/// Reads the keys for the tokens of clients for ever.
fn keep_keys(watches: &mut JoinSet<()>, authenticator: &Arc<Authenticator>) {
    let authenticator = Arc::clone(authenticator);
    watches.spawn(async move { authenticator.run().await });
}

/// The layout of the store. Programs of a deployment start at the same time, so the store may come later.
async fn layout(
    store: &dyn Store,
    count: u32,
    report: impl Fn(Option<&str>),
) -> Result<PartitionLayout, StoreError> {
    loop {
        match store.partitions(count).await {
            Err(StoreError::Unavailable(reason)) => report(Some(&reason)),
            result => {
                report(None);
                return result;
            }
        }
        sleep(STORE_PAUSE).await;
    }
}

/// The servers of the API port.
async fn new_api(
    partitions: &PartitionTable,
    core_id: &str,
    limits: &Limits,
    (access, metrics, stopping): (Access, Metrics, StopToken),
) -> Result<(Api, HealthReporter), StartError> {
    let app = AppServer::new(
        partitions.clone(),
        core_id,
        limits,
        access.clone(),
        metrics.clone(),
        stopping,
    );
    let streams = StreamServer::new(partitions.clone(), access.clone());
    let created = Api::new(app, streams, access, metrics).await;
    created.map_err(|status| StartError::Api(status.message().to_owned()))
}

/// The tokens of the store and of the file. The store may fail once more after its first response.
async fn load_tokens(
    store: &Arc<dyn Store>,
    file: Option<&PathBuf>,
) -> Result<TokenSource, StoreError> {
    loop {
        match TokenSource::load(Arc::clone(store), file.cloned()).await {
            Err(StoreError::Unavailable(_)) => sleep(STORE_PAUSE).await,
            loaded => return loaded,
        }
    }
}

/// A name that no other process has, and that this process does not reuse after a restart.
///
/// Containers on several machines may have one process id and start in one millisecond: the random part differs.
fn unique_name() -> String {
    let random = RandomState::new().hash_one(clock::wall_ms());
    format!("core-{}-{:x}-{random:016x}", std::process::id(), clock::wall_ms())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_one_process_and_millisecond_differ() {
        let names: std::collections::HashSet<_> = (0..1000).map(|_| unique_name()).collect();
        assert_eq!(names.len(), 1000);
    }
}

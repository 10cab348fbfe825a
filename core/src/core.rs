//! A core: the ownership task with its partitions, the servers in front of them, and the end in order. Made by a program's `main.rs` or a test; decides nothing about streams.

use std::error::Error;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures_util::Stream;
use minerva_proto::app::app_service_server::AppServiceServer;
use minerva_proto::app::stream_service_server::StreamServiceServer;
use minerva_proto::link::link_service_server::LinkServiceServer;
use minerva_runtime::ConfigError;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tonic::transport::server::TcpIncoming;
use tonic_health::server::HealthReporter;

use crate::api::Api;
use crate::app::AppServer;
use crate::clock;
use crate::config::{Config, MAX_MESSAGE};
use crate::link::LinkServer;
use crate::metrics::Metrics;
use crate::ownership::{CoreContext, Ownership, PartitionTaskError};
use crate::partition::{PartitionTable, RecoveryError};
use crate::server;
use crate::stop::StopSource;
use crate::store::metered::MeteredStore;
use crate::store::{Store, StoreError};
use crate::stream_service::StreamServer;

/// Time for the partitions to finish what is under way and write their checkpoints.
const STOP_PARTITIONS: Duration = Duration::from_secs(10);
/// Time for the calls to end after it.
const STOP_SERVERS: Duration = Duration::from_secs(2);

/// A running core. Dropping it is like a crash; [`Core::stop`] ends it in order.
pub struct Core {
    id: Arc<str>,
    partitions: PartitionTable,
    api: Api,
    health: HealthReporter,
    metrics: Metrics,
    stop: StopSource,
    /// Tells the ownership task to give everything back.
    resign: oneshot::Sender<()>,
    /// That task; ends with this value.
    ownership: JoinSet<()>,
    servers: JoinSet<()>,
}

/// Why a core could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The store refused.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What the store has cannot be understood.
    #[error("partition {partition}: {error}")]
    Recovery {
        /// The partition.
        partition: u32,
        /// What is wrong.
        error: RecoveryError,
    },
    /// The API server could not be made.
    #[error("the API server: {0}")]
    Api(String),
}

impl From<PartitionTaskError> for StartError {
    fn from(error: PartitionTaskError) -> Self {
        match error {
            PartitionTaskError::Store(error) => Self::Store(error),
            PartitionTaskError::Recovery(partition, error) => Self::Recovery { partition, error },
        }
    }
}

/// Whether an operator has to change an option because of this error, which a program met when it opened a
/// store or started a core.
pub fn is_config(error: &(dyn Error + 'static)) -> bool {
    let store = match error.downcast_ref::<StartError>() {
        Some(StartError::Store(error)) => Some(error),
        Some(StartError::Recovery { .. } | StartError::Api(_)) => None,
        None => error.downcast_ref::<StoreError>(),
    };
    error.is::<ConfigError>() || matches!(store, Some(StoreError::Config(_)))
}

impl Core {
    /// Joins the cores that share the store: claims this core's share of the partitions and brings their streams
    /// back. A partition that another core still has is served as soon as that gives it back or is gone.
    ///
    /// # Errors
    /// If the store is of another deployment, or what it has cannot be read.
    pub async fn start(
        config: &Config,
        store: Arc<dyn Store>,
        metrics: Metrics,
    ) -> Result<Self, StartError> {
        let id: Arc<str> = unique_name().into();
        let store: Arc<dyn Store> = Arc::new(MeteredStore::new(store, metrics.clone()));
        let count = store.partitions(config.partitions).await?;
        let partitions = PartitionTable::new(count);
        let context = CoreContext::new(
            Arc::clone(&id),
            store,
            partitions.clone(),
            config.limits.clone(),
            config.partition.clone(),
            metrics.clone(),
        );
        let startup = context.startup.clone();
        let (resign, resigned) = oneshot::channel::<()>();
        let mut ownership = JoinSet::new();
        ownership.spawn(Ownership::new(context, config.partition.standby).run(async move {
            // Dropped without a word, the task is gone with this value.
            let _ = resigned.await;
        }));
        startup.wait().await?;
        let stop = StopSource::new();
        let app = AppServer::new(
            partitions.clone(),
            &id,
            &config.limits,
            metrics.clone(),
            stop.stopping(),
        );
        let streams = StreamServer::new(partitions.clone());
        let (api, health) = Api::new(app, streams)
            .await
            .map_err(|status| StartError::Api(status.message().to_owned()))?;
        let servers = JoinSet::new();
        Ok(Self { id, partitions, api, health, metrics, stop, resign, ownership, servers })
    }

    /// Serves edges that connect over TCP.
    pub fn serve_link_tcp(&mut self, listener: TcpListener) {
        self.serve_link(TcpIncoming::from(listener).with_nodelay(Some(true)));
    }

    /// Serves edges over any connections, such as pipes within the process.
    pub fn serve_link<IO>(&mut self, incoming: impl Stream<Item = io::Result<IO>> + Send + 'static)
    where
        IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let server = LinkServer::new(
            self.partitions.clone(),
            Arc::clone(&self.id),
            self.metrics.clone(),
            self.stop.stopping(),
        );
        let service = LinkServiceServer::new(server)
            .max_decoding_message_size(MAX_MESSAGE)
            .max_encoding_message_size(MAX_MESSAGE);
        self.servers.spawn(server::serve(service, incoming, self.stop.stopping()));
    }

    /// Serves application services.
    pub fn serve_api(&mut self, listener: TcpListener) {
        let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
        self.servers.spawn(server::serve(self.api.clone(), incoming, self.stop.stopping()));
    }

    /// Stops in order: partitions finish what is under way, write a checkpoint and are given back, so that
    /// other cores can have them at once; then calls end. Edges keep their sockets and applications their
    /// streams: both go on with the next core. Takes at most some seconds, whatever the store and the peers
    /// do.
    pub async fn stop(mut self) {
        self.health.set_not_serving::<AppServiceServer<AppServer>>().await;
        self.health.set_not_serving::<StreamServiceServer<StreamServer>>().await;
        let _ = self.resign.send(());
        let resigned = async { while self.ownership.join_next().await.is_some() {} };
        if timeout(STOP_PARTITIONS, resigned).await.is_err() {
            tracing::warn!("not all partitions stopped in time; they recover with their next core");
        }
        self.stop.stop();
        let all_served = async { while self.servers.join_next().await.is_some() {} };
        if timeout(STOP_SERVERS, all_served).await.is_err() {
            tracing::debug!("calls were cut off");
        }
    }
}

/// A name that no other process has and this one does not keep when it starts again.
fn unique_name() -> String {
    format!("core-{}-{:x}", std::process::id(), clock::wall_ms())
}

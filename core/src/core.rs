//! A core: claims its partitions, runs their tasks and the servers in front of them, and gives it all
//! back at the end. Made by a program's `main.rs` or a test; decides nothing about streams.

use std::convert::Infallible;
use std::error::Error;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use futures_util::{Stream, StreamExt, TryStreamExt, stream};
use http::{Request, Response};
use minerva_proto::app::app_service_server::AppServiceServer;
use minerva_proto::link::link_service_server::LinkServiceServer;
use minerva_proto::process::ConfigError;
use prometheus_client::metrics::gauge::Gauge;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tonic::body::Body;
use tonic::transport::server::{Connected, TcpIncoming};
use tonic_health::server::HealthReporter;
use tower::Service;

use crate::api::Api;
use crate::app::AppServer;
use crate::clock::{self, PatientClock};
use crate::config::{Config, MAX_MESSAGE, grpc_server};
use crate::link::LinkServer;
use crate::metrics::Metrics;
use crate::partition::{Clock, MAX_SLEEP, Mail, Partition, Partitions, RecoveryError, Setup};
use crate::stop::StopSource;
use crate::store::metered::MeteredStore;
use crate::store::{Claimed, Store, StoreError};
use crate::stream::Millis;

/// Partitions that are claimed at the same time; far less than a store lets wait.
const CLAIMS: usize = 64;
/// Pause before a partition is claimed again that another owner holds or whose store does not answer.
const CLAIM_PAUSE: Duration = Duration::from_millis(500);
/// Time for the partitions to finish what is under way and write their checkpoints.
const STOP_PARTITIONS: Duration = Duration::from_secs(10);
/// Time for the calls to end before it.
const STOP_SERVERS: Duration = Duration::from_secs(2);

/// A running core. Dropping it is like a crash; [`Core::stop`] ends it in order.
pub struct Core {
    id: Arc<str>,
    partitions: Partitions,
    api: Api,
    health: HealthReporter,
    metrics: Metrics,
    stop: StopSource,
    /// The tasks of the partitions; each ends when it has stopped, or lost its partition.
    tasks: JoinSet<Result<(), Lost>>,
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

/// A partition that ended by itself.
#[derive(Debug, thiserror::Error)]
#[error("partition {partition} is lost: {reason}")]
pub struct Lost {
    partition: u32,
    reason: String,
}

impl Core {
    /// Claims all partitions and brings their streams back. Waits while another owner's lease lives.
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
        let claims = (0..count).map(|partition| claim(&*store, partition, &id));
        let claimed: Vec<_> = stream::iter(claims).buffered(CLAIMS).try_collect().await?;
        let (partitions, mailboxes) = Partitions::new(count);
        let mut tasks = JoinSet::new();
        for ((number, claimed), mail) in (0..).zip(claimed).zip(mailboxes) {
            let setup = Setup {
                partition: number,
                store: Arc::clone(&store),
                mail,
                limits: config.limits.clone(),
                options: config.partition.clone(),
                clock: live_clock(),
                wall_clock: Arc::new(|| Millis(clock::wall_ms())),
                counters: Arc::clone(&metrics.counters),
            };
            let partition = Partition::recover(setup, &claimed)
                .map_err(|error| StartError::Recovery { partition: number, error })?;
            tasks.spawn(serve_partition(number, partition, metrics.partitions.clone()));
        }
        let stop = StopSource::new();
        let app =
            AppServer::new(partitions.clone(), &config.limits, metrics.clone(), stop.stopping());
        let (api, health) =
            Api::new(app).await.map_err(|status| StartError::Api(status.message().to_owned()))?;
        let servers = JoinSet::new();
        Ok(Self { id, partitions, api, health, metrics, stop, tasks, servers })
    }

    /// Serves edges that connect over TCP.
    pub fn serve_link_tcp(&mut self, listener: TcpListener) {
        self.serve_link(TcpIncoming::from(listener).with_nodelay(Some(true)));
    }

    /// Serves edges over any connections, such as pipes within the process.
    pub fn serve_link<IO>(&mut self, incoming: impl Stream<Item = io::Result<IO>> + Send + 'static)
    where
        IO: AsyncRead + AsyncWrite + Connected + Unpin + Send + 'static,
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
        self.serve(service, incoming);
    }

    /// Serves application services.
    pub fn serve_api(&mut self, listener: TcpListener) {
        self.serve(self.api.clone(), TcpIncoming::from(listener).with_nodelay(Some(true)));
    }

    /// Waits until a partition is lost, after which the core cannot do its work any more.
    pub async fn lost(&mut self) -> Lost {
        loop {
            match self.tasks.join_next().await {
                Some(Ok(Ok(()))) => {}
                Some(Ok(Err(lost))) => return lost,
                Some(Err(error)) => {
                    return Lost {
                        partition: u32::MAX,
                        reason: format!("its task failed: {error}"),
                    };
                }
                None => return std::future::pending().await,
            }
        }
    }

    /// Stops in order: calls end, then partitions finish what is under way, write a checkpoint and are
    /// given back. Edges keep their sockets and applications their streams, as if the network had failed:
    /// both go on with the next core. Takes at most some seconds, whatever the store and the peers do.
    pub async fn stop(mut self) {
        self.health.set_not_serving::<AppServiceServer<AppServer>>().await;
        self.stop.stop();
        let all_served = async { while self.servers.join_next().await.is_some() {} };
        if timeout(STOP_SERVERS, all_served).await.is_err() {
            tracing::debug!("calls were cut off");
        }
        let mut stopped = Vec::new();
        self.partitions.send_to_all(|_| {
            let (done, is_done) = oneshot::channel();
            stopped.push(is_done);
            Mail::Stop { done }
        });
        if timeout(STOP_PARTITIONS, join_all(stopped)).await.is_err() {
            tracing::warn!("not all partitions stopped in time; they recover at the next start");
        }
    }

    fn serve<S, IO>(
        &mut self,
        service: S,
        incoming: impl Stream<Item = io::Result<IO>> + Send + 'static,
    ) where
        IO: AsyncRead + AsyncWrite + Connected + Unpin + Send + 'static,
        S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
        S: Clone + Send + 'static,
        S::Future: Send + 'static,
    {
        let mut stopping = self.stop.stopping();
        self.servers.spawn(async move {
            let stop = async move { stopping.wait().await };
            let server = grpc_server().serve_with_incoming_shutdown(service, incoming, stop);
            if let Err(error) = server.await {
                tracing::error!(%error, "a server has failed");
            }
        });
    }
}

/// Runs a partition's task.
async fn serve_partition(number: u32, partition: Partition, serving: Gauge) -> Result<(), Lost> {
    serving.inc();
    let result = partition.serve().await;
    serving.dec();
    result.map_err(|error| Lost { partition: number, reason: error.to_string() })
}

/// The clock of one partition's deadlines. A step of it is never longer than two looks at it should be apart.
fn live_clock() -> Clock {
    let clock = PatientClock::new(2 * MAX_SLEEP);
    Arc::new(move || Millis(clock.now_ms()))
}

/// Claims a partition, as soon as it can be had.
async fn claim(store: &dyn Store, partition: u32, owner: &str) -> Result<Claimed, StoreError> {
    loop {
        match store.claim(partition, owner).await {
            Err(error @ (StoreError::Held { .. } | StoreError::Unavailable(_))) => {
                tracing::warn!(partition, %error, "cannot claim yet");
                sleep(CLAIM_PAUSE).await;
            }
            claimed => return claimed,
        }
    }
}

/// A name that no other process has and this one does not keep when it starts again.
fn unique_name() -> String {
    format!("core-{}-{:x}", std::process::id(), clock::wall_ms())
}

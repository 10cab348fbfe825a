//! Connection setup: locates the server, authenticates, checks the configuration, and loads the scripts.
//!
//! Commands on the finished connection are out of scope.

use std::sync::atomic::{AtomicBool, Ordering};

use redis::aio::ConnectionLike;
use redis::io::tcp::TcpSettings;
use redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, IntoConnectionInfo, Pipeline,
    RedisConnectionInfo, RedisError, RedisResult, TlsCertificates, Value, cmd,
};
use tokio::time::timeout;

use super::super::StoreError;
use super::connection::Connection;
use super::error::{classify_connection, failed_login, timed_out};
use super::replication::Replication;
use super::scripts;
use super::sentinel::locate;
use super::server_info::ServerInfo;
use super::url::{Kind, Node, RedisUrl, RedisUrlError};

/// Factory for the connections of one store.
pub(super) struct Connector {
    url: RedisUrl,
    /// Trusted certificate authorities (PEM); `None` uses those of the system.
    root_cert: Option<Vec<u8>>,
    /// Whether any command has succeeded. From then on, configuration errors are retried like outages, because live
    /// streams depend on the store.
    has_worked: AtomicBool,
    has_warned: AtomicBool,
}

/// Destination of a connection.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Target {
    /// A fixed node.
    Node(Node),
    /// The primary that the Sentinels report at connection time.
    Primary,
}

/// A checked connection.
pub(super) struct Connected {
    pub(super) connection: Connection,
    pub(super) node: Node,
    pub(super) replication: Replication,
    /// Replicas of the server according to the Sentinels.
    pub(super) replicas: Vec<Node>,
    /// Number of all its replicas, connected or not.
    pub(super) known_replicas: usize,
}

impl Connector {
    /// # Errors
    /// [`StoreError::Config`] if the `ca` file is unreadable, or a user has no password.
    pub(super) fn new(url: RedisUrl) -> Result<Self, StoreError> {
        if url.login.user.is_some() && url.login.password.is_none() {
            return Err(StoreError::Config(format!("--store: {}", RedisUrlError::Login)));
        }
        let root_cert = match &url.options.ca {
            Some(path) => Some(std::fs::read(path).map_err(|error| {
                let path = path.display();
                StoreError::Config(format!("--store: ca={path} cannot be read: {error}"))
            })?),
            None => None,
        };
        if url.has_tls {
            // Fails if the program has already installed a provider, which serves as well.
            let _ = rustls::crypto::ring::default_provider().install_default();
        }
        let (has_worked, has_warned) = (AtomicBool::new(false), AtomicBool::new(false));
        Ok(Self { url, root_cert, has_worked, has_warned })
    }

    pub(super) fn url(&self) -> &RedisUrl {
        &self.url
    }

    /// Connects, checks the server, and loads the scripts.
    pub(super) async fn connect(&self, target: &Target) -> Result<Connected, StoreError> {
        self.try_connect(target).await.map_err(|error| self.soften(error))
    }

    /// Records a successful command.
    pub(super) fn note_success(&self) {
        self.has_worked.store(true, Ordering::Relaxed);
    }

    /// Turns a configuration error into a retried one if the store has worked before.
    pub(super) fn soften(&self, error: StoreError) -> StoreError {
        if let StoreError::Config(text) = &error
            && self.has_worked.load(Ordering::Relaxed)
        {
            return StoreError::Unavailable(text.clone());
        }
        error
    }

    /// Connects to a server and authenticates, without any check of the server.
    pub(super) async fn dial(&self, node: &Node) -> Result<Connection, StoreError> {
        self.dial_in_time(node, false).await
    }

    /// Connects to a Sentinel and authenticates.
    pub(super) async fn dial_sentinel(&self, node: &Node) -> Result<Connection, StoreError> {
        self.dial_in_time(node, true).await
    }

    /// Loads all scripts into the server.
    pub(super) async fn load_scripts(&self, connection: &mut Connection) -> Result<(), StoreError> {
        let loaded = scripts::load().query_async::<Vec<String>>(connection).await;
        loaded.map(|_| ()).map_err(|error| self.classify(&error, &self.url.to_string()))
    }

    /// The store error of a connection failure.
    pub(super) fn classify(&self, error: &RedisError, server: &str) -> StoreError {
        self.soften(classify_connection(error, server))
    }

    async fn try_connect(&self, target: &Target) -> Result<Connected, StoreError> {
        let (node, replicas, known_replicas) = match target {
            Target::Node(node) => (node.clone(), Vec::new(), 0),
            Target::Primary => {
                let located = locate(self).await?;
                (located.primary, located.replicas, located.known_replicas)
            }
        };
        let mut connection = self.dial(&node).await?;
        let name = node.to_string();
        let info = cmd("INFO").query_async::<String>(&mut connection).await;
        let info = info.map_err(|error| self.classify(&error, &name))?;
        let (server, replication) = (ServerInfo::parse(&info), Replication::parse(&info));
        server.check(&name, self.url.kind == Kind::Cluster)?;
        if !server.has_aof && !self.has_warned.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                redis = name,
                "Redis writes no append-only file, so its exit loses acknowledged writes; set \
                 `appendonly yes` and `appendfsync always` (or `everysec`, which can lose a second)"
            );
        }
        self.load_scripts(&mut connection).await?;
        tracing::debug!(redis = name, "connected to Redis");
        Ok(Connected { connection, node, replication, replicas, known_replicas })
    }

    async fn dial_in_time(&self, node: &Node, is_sentinel: bool) -> Result<Connection, StoreError> {
        let dialled = async {
            let mut connection = self.open(node).await?;
            self.log_in(&mut connection, node, is_sentinel).await?;
            Ok(connection)
        };
        let timed_out = |_| Err(timed_out(&node.to_string()));
        timeout(self.url.options.connect, dialled).await.unwrap_or_else(timed_out)
    }

    /// Connects without a login.
    async fn open(&self, node: &Node) -> Result<Connection, StoreError> {
        let options = &self.url.options;
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(options.connect))
            .set_response_timeout(Some(options.response));
        let settings = RedisConnectionInfo::default().set_skip_set_lib_name();
        let connected = async {
            if !self.url.has_tls {
                return Connection::plain(node, options.connect, &settings, config).await;
            }
            let client = self.client(node, settings)?;
            client
                .get_multiplexed_async_connection_with_config(&config)
                .await
                .map(Connection::with_driver_task)
        };
        connected.await.map_err(|error| self.classify(&error, &node.to_string()))
    }

    /// Sends AUTH and SELECT, as far as the address requires them. The library would hide the reason of a refusal.
    async fn log_in(
        &self,
        connection: &mut Connection,
        node: &Node,
        is_sentinel: bool,
    ) -> Result<(), StoreError> {
        let login = if is_sentinel { &self.url.sentinel_login } else { &self.url.login };
        let name = node.to_string();
        let mut pipeline = Pipeline::new();
        if let Some(password) = &login.password {
            pipeline.cmd("AUTH").arg(&login.user).arg(password);
        }
        if self.url.db != 0 && !is_sentinel {
            pipeline.cmd("SELECT").arg(self.url.db);
        }
        if pipeline.is_empty() {
            return Ok(());
        }
        let replies = connection.req_packed_commands(&pipeline, 0, pipeline.len()).await;
        let replies = replies.map_err(|error| self.classify(&error, &name))?;
        let mut errors = replies.into_iter().map(Value::extract_error).filter_map(Result::err);
        match errors.next() {
            Some(error) => Err(self.soften(failed_login(&error, &name, is_sentinel))),
            None => Ok(()),
        }
    }

    /// A client for a TLS connection.
    fn client(&self, node: &Node, login: RedisConnectionInfo) -> RedisResult<Client> {
        let (host, port) = (node.host.clone(), node.port);
        let address = ConnectionAddr::TcpTls { host, port, insecure: false, tls_params: None };
        // Nagle's algorithm would hold a pipeline until the previous one is acknowledged.
        let tcp = TcpSettings::default().set_nodelay(true);
        let info = address.into_connection_info()?.set_redis_settings(login).set_tcp_settings(tcp);
        let certificates = TlsCertificates { client_tls: None, root_cert: self.root_cert.clone() };
        Client::build_with_tls(info, certificates)
    }
}

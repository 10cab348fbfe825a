//! Making connections: finds the server, logs in, checks that the server is fit, loads the scripts. Knows
//! nothing of what is sent afterwards.

use std::sync::atomic::{AtomicBool, Ordering};

use redis::io::tcp::TcpSettings;
use redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, IntoConnectionInfo, Pipeline,
    RedisConnectionInfo, RedisError, RedisResult, TlsCertificates, cmd,
};
use tokio::time::timeout;

use super::super::StoreError;
use super::address::{Kind, Node, RedisUrl};
use super::connection::Connection;
use super::failure::{judge_connection, too_slow, unknown_primary};
use super::scripts;
use super::server::Server;

/// Makes the connections of one store.
pub(super) struct Connector {
    url: RedisUrl,
    /// The certificates (PEM) by which servers are known, if not those of the system.
    root_cert: Option<Vec<u8>>,
    /// Whether any command was ever done. From then on an error that an operator has to mend is one that
    /// is waited for: streams live on it.
    has_worked: AtomicBool,
    has_warned: AtomicBool,
}

/// Which server a connection goes to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Target {
    /// This one.
    Node(Node),
    /// The one that the Sentinels name at that moment.
    Primary,
}

impl Connector {
    /// # Errors
    /// [`StoreError::Config`] if the file with the certificates cannot be read.
    pub(super) fn new(url: RedisUrl) -> Result<Self, StoreError> {
        let root_cert = match &url.options.ca {
            Some(path) => Some(std::fs::read(path).map_err(|error| {
                let path = path.display();
                StoreError::Config(format!("--store: ca={path} cannot be read: {error}"))
            })?),
            None => None,
        };
        if url.has_tls {
            // It fails if the program has chosen a provider already, which is as good.
            let _ = rustls::crypto::ring::default_provider().install_default();
        }
        let (has_worked, has_warned) = (AtomicBool::new(false), AtomicBool::new(false));
        Ok(Self { url, root_cert, has_worked, has_warned })
    }

    pub(super) fn url(&self) -> &RedisUrl {
        &self.url
    }

    /// A connection to a server that is fit and has the scripts.
    pub(super) async fn connect(&self, target: &Target) -> Result<Connection, StoreError> {
        self.connect_anew(target).await.map_err(|error| self.soften(error))
    }

    /// Notes that a command did what it should.
    pub(super) fn note_success(&self) {
        self.has_worked.store(true, Ordering::Relaxed);
    }

    /// What an error means to a store that may be in use: it waits until an operator has mended it.
    pub(super) fn soften(&self, error: StoreError) -> StoreError {
        if let StoreError::Config(text) = &error
            && self.has_worked.load(Ordering::Relaxed)
        {
            return StoreError::Unavailable(text.clone());
        }
        error
    }

    /// A connection that is logged in, to whatever is there.
    pub(super) async fn dial(&self, node: &Node) -> Result<Connection, StoreError> {
        let mut login =
            RedisConnectionInfo::default().set_db(self.url.db.into()).set_skip_set_lib_name();
        if let Some(user) = &self.url.user {
            login = login.set_username(user);
        }
        if let Some(password) = &self.url.password {
            login = login.set_password(password);
        }
        self.dial_as(node, login).await
    }

    /// Loads the scripts.
    pub(super) async fn load(&self, connection: &mut Connection) -> Result<(), StoreError> {
        let loaded = scripts::load().query_async::<Vec<String>>(connection).await;
        loaded.map(|_| ()).map_err(|error| self.judge(&error, &self.url.to_string()))
    }

    /// What the failure of a connection means.
    pub(super) fn judge(&self, error: &RedisError, place: &str) -> StoreError {
        self.soften(judge_connection(error, place))
    }

    async fn connect_anew(&self, target: &Target) -> Result<Connection, StoreError> {
        let node = match target {
            Target::Node(node) => node.clone(),
            Target::Primary => self.ask_sentinels().await?,
        };
        let mut connection = self.dial(&node).await?;
        let place = node.to_string();
        let info = cmd("INFO").query_async::<String>(&mut connection).await;
        let server = Server::parse(&info.map_err(|error| self.judge(&error, &place))?);
        server.check(&place, self.url.kind == Kind::Cluster)?;
        if !server.has_aof && !self.has_warned.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                redis = place,
                "Redis writes no append-only file: when it dies, what it has confirmed is lost; set \
                 `appendonly yes` and `appendfsync always` (or `everysec`, which can lose a second)"
            );
        }
        self.load(&mut connection).await?;
        tracing::debug!(redis = place, "connected");
        Ok(connection)
    }

    async fn dial_as(
        &self,
        node: &Node,
        login: RedisConnectionInfo,
    ) -> Result<Connection, StoreError> {
        let place = node.to_string();
        let options = &self.url.options;
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(options.connect))
            .set_response_timeout(Some(options.response));
        let dialled = async {
            if !self.url.has_tls {
                return Connection::plain(node, &login, config).await;
            }
            let client = self.client(node, login)?;
            client
                .get_multiplexed_async_connection_with_config(&config)
                .await
                .map(Connection::driven)
        };
        match timeout(options.connect, dialled).await {
            Ok(dialled) => dialled.map_err(|error| self.judge(&error, &place)),
            Err(_) => Err(too_slow(&place)),
        }
    }

    /// For connections with TLS.
    fn client(&self, node: &Node, login: RedisConnectionInfo) -> RedisResult<Client> {
        let (host, port) = (node.host.clone(), node.port);
        let address = ConnectionAddr::TcpTls { host, port, insecure: false, tls_params: None };
        // Else a pipeline would wait for the answers to the one before it.
        let tcp = TcpSettings::default().set_nodelay(true);
        let info = address.into_connection_info()?.set_redis_settings(login).set_tcp_settings(tcp);
        let certificates = TlsCertificates { client_tls: None, root_cert: self.root_cert.clone() };
        Client::build_with_tls(info, certificates)
    }

    /// Asks one Sentinel after the other where the primary is. The login is for Redis, not for them.
    pub(super) async fn ask_sentinels(&self) -> Result<Node, StoreError> {
        let Kind::Sentinel(name) = &self.url.kind else {
            return Err(StoreError::Config("--store names no Sentinels".to_owned()));
        };
        let mut last = unknown_primary(name);
        for sentinel in &self.url.nodes {
            let login = RedisConnectionInfo::default().set_skip_set_lib_name();
            let mut connection = match self.dial_as(sentinel, login).await {
                Ok(connection) => connection,
                Err(error) => {
                    last = error;
                    continue;
                }
            };
            let mut question = Pipeline::new();
            question.cmd("SENTINEL").arg("GET-MASTER-ADDR-BY-NAME").arg(name);
            let answer = question.query_async::<(Option<(String, u16)>,)>(&mut connection).await;
            match answer {
                Ok((Some((host, port)),)) => return Ok(Node { host, port }),
                Ok((None,)) => last = unknown_primary(name),
                Err(error) => last = self.judge(&error, &sentinel.to_string()),
            }
        }
        Err(last)
    }
}

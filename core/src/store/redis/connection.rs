//! A connection to a Redis server and what drives it: whoever waits for an answer over it reads and writes the
//! socket, in its own task. A task of the connection's own would have to be woken for every pipeline and to wake
//! its lane for every answer; the longer such a chain, the likelier a thread is woken for nothing.

use std::future::Future;
use std::pin::pin;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Either, Fuse, select};
use redis::aio::{ConnectionLike, MultiplexedConnection};
use redis::{
    AsyncConnectionConfig, Cmd, Pipeline, RedisConnectionInfo, RedisFuture, RedisResult, Value,
};
use tokio::net::TcpStream;

use super::address::Node;

/// Reads and writes; ends when the connection is lost, and is pending from then on.
type Driver = Fuse<BoxFuture<'static, ()>>;

/// What a pipeline will be answered. It comes only while somebody drives the connection.
pub(super) type Answers = BoxFuture<'static, RedisResult<Vec<Value>>>;

/// A connection that is logged in. Dropping it closes it.
pub(super) struct Connection {
    queue: MultiplexedConnection,
    driver: Driver,
}

impl Connection {
    /// Connects without encryption.
    pub(super) async fn plain(
        node: &Node,
        login: &RedisConnectionInfo,
        config: AsyncConnectionConfig,
    ) -> RedisResult<Self> {
        let socket = TcpStream::connect((&*node.host, node.port)).await?;
        // Else a pipeline would wait for the answers to the one before it.
        socket.set_nodelay(true)?;
        let (queue, driver) = MultiplexedConnection::new_with_config(login, socket, config).await?;
        Ok(Self { queue, driver: driver.boxed().fuse() })
    }

    /// One that a task of its own drives.
    pub(super) fn driven(queue: MultiplexedConnection) -> Self {
        Self { queue, driver: Fuse::terminated() }
    }

    /// Puts a pipeline behind all others.
    pub(super) fn send(&self, pipeline: Pipeline) -> Answers {
        let mut queue = self.queue.clone();
        let answers = async move { queue.send_packed_commands(&pipeline, 0, pipeline.len()).await };
        let mut answers = answers.boxed();
        // The first poll puts the pipeline into the queue: so the order is fixed here.
        match (&mut answers).now_or_never() {
            Some(result) => std::future::ready(result).boxed(),
            None => answers,
        }
    }

    /// Waits for answers of this connection, and drives it for as long.
    pub(super) async fn wait(&mut self, answers: Answers) -> RedisResult<Vec<Value>> {
        driven(answers, &mut self.driver).await
    }

    /// Reads and writes; ends once, when the connection is lost. What was sent and not answered fails then.
    pub(super) async fn drive(&mut self) {
        (&mut self.driver).await;
    }
}

/// For questions one after the other; each is driven while it waits.
impl ConnectionLike for Connection {
    fn req_packed_command<'a>(&'a mut self, command: &'a Cmd) -> RedisFuture<'a, Value> {
        let Self { queue, driver } = self;
        driven(queue.send_packed_command(command), driver).boxed()
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        pipeline: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        let Self { queue, driver } = self;
        driven(queue.send_packed_commands(pipeline, offset, count), driver).boxed()
    }

    fn get_db(&self) -> i64 {
        self.queue.get_db()
    }
}

/// Waits for an answer, and drives the connection for as long.
async fn driven<T>(answer: impl Future<Output = T>, driver: &mut Driver) -> T {
    match select(pin!(answer), driver).await {
        Either::Left((answer, _)) => answer,
        Either::Right(((), answer)) => answer.await,
    }
}

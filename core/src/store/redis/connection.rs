//! A connection to a Redis server driven by the waiting task, which reads and writes the socket.
//!
//! A separate driver task would cost two task switches per pipeline, and more wake-ups of idle threads.

use std::future::Future;
use std::io;
use std::pin::pin;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Either, Fuse, select};
use minerva_runtime::dial;
use redis::aio::{ConnectionLike, MultiplexedConnection};
use redis::{
    AsyncConnectionConfig, Cmd, Pipeline, RedisConnectionInfo, RedisFuture, RedisResult, Value,
};

use super::url::Node;

/// Reads and writes the socket; resolves once, when the connection is lost, and is pending afterwards.
type Driver = Fuse<BoxFuture<'static, ()>>;

/// The replies of a pipeline. They arrive only while the connection is driven.
pub(super) type PendingReplies = BoxFuture<'static, RedisResult<Vec<Value>>>;

/// An authenticated connection. Dropping the value closes the connection.
pub(super) struct Connection {
    queue: MultiplexedConnection,
    driver: Driver,
}

impl Connection {
    /// Connects without encryption to any address of the node.
    pub(super) async fn plain(
        node: &Node,
        attempt_limit: Duration,
        login: &RedisConnectionInfo,
        config: AsyncConnectionConfig,
    ) -> RedisResult<Self> {
        let socket = dial::connect(&node.host, node.port, attempt_limit).await;
        let socket = socket.map_err(io::Error::from)?;
        // Nagle's algorithm would hold a pipeline until the previous one is acknowledged.
        socket.set_nodelay(true)?;
        let (queue, driver) = MultiplexedConnection::new_with_config(login, socket, config).await?;
        Ok(Self { queue, driver: driver.boxed().fuse() })
    }

    /// Wraps a connection that has a driver task.
    pub(super) fn with_driver_task(queue: MultiplexedConnection) -> Self {
        Self { queue, driver: Fuse::terminated() }
    }

    /// Enqueues a pipeline immediately.
    pub(super) fn send(&self, pipeline: Pipeline) -> PendingReplies {
        let mut queue = self.queue.clone();
        let replies = async move { queue.send_packed_commands(&pipeline, 0, pipeline.len()).await };
        let mut replies = replies.boxed();
        // The first poll enqueues the pipeline, which fixes the order here.
        match (&mut replies).now_or_never() {
            Some(result) => std::future::ready(result).boxed(),
            None => replies,
        }
    }

    /// Drives the connection until the replies arrive.
    pub(super) async fn wait(&mut self, replies: PendingReplies) -> RedisResult<Vec<Value>> {
        drive_until(replies, &mut self.driver).await
    }

    /// Drives the connection until the connection is lost. Pipelines without replies fail then.
    pub(super) async fn drive(&mut self) {
        (&mut self.driver).await;
    }
}

/// For sequential commands; each drives the connection until the reply arrives.
impl ConnectionLike for Connection {
    fn req_packed_command<'a>(&'a mut self, command: &'a Cmd) -> RedisFuture<'a, Value> {
        let Self { queue, driver } = self;
        drive_until(queue.send_packed_command(command), driver).boxed()
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        pipeline: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        let Self { queue, driver } = self;
        drive_until(queue.send_packed_commands(pipeline, offset, count), driver).boxed()
    }

    fn get_db(&self) -> i64 {
        self.queue.get_db()
    }
}

/// Drives the connection until a future resolves.
async fn drive_until<T>(reply: impl Future<Output = T>, driver: &mut Driver) -> T {
    match select(pin!(reply), driver).await {
        Either::Left((reply, _)) => reply,
        Either::Right(((), reply)) => reply.await,
    }
}

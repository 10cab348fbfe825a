//! A queued command and the destination of its reply. `client` makes requests; the routes and connections pass them on.

use redis::Value;
use tokio::sync::oneshot;

use super::super::StoreError;
use super::error::connection_closed;
use super::pipeline::Command;

/// Outcome of a request.
pub(super) type Reply = Result<Value, StoreError>;

pub(super) struct Request {
    pub(super) command: Command,
    /// Approximate size of the command.
    pub(super) bytes: usize,
    /// Whether the reply waits for the replicas, if the address requires any.
    pub(super) is_durable: bool,
    /// Whether the request uses the connection for leases; see [`super::server_connections`].
    pub(super) is_lease: bool,
    reply_to: oneshot::Sender<Reply>,
}

impl Request {
    /// A request on the connection for data, and the future of its reply.
    pub(super) fn new(
        command: Command,
        bytes: usize,
        is_durable: bool,
    ) -> (Self, impl Future<Output = Reply> + Send + use<>) {
        let (reply_to, reply) = oneshot::channel();
        let reply = async move { reply.await.unwrap_or_else(|_| Err(connection_closed())) };
        (Self { command, bytes, is_durable, is_lease: false, reply_to }, reply)
    }

    /// Sends the reply. The caller may have dropped the receiver.
    pub(super) fn finish(self, mut reply: Reply) {
        if let (Command::Single(_), Err(StoreError::Full(reason))) = (&self.command, &reply) {
            reply = Err(StoreError::Unavailable(reason.clone()));
        }
        let _ = self.reply_to.send(reply);
    }
}

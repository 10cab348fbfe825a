//! Route of one transport to the owner of its stream: an attachment while an owner is known, and events about changes.
//! Held by `session.rs`. Messages of an ended attachment are never returned.

use minerva_proto::StreamId;
use minerva_proto::link::{CoreMessage, EdgeMessage};

use super::attachment::Attachment;
use super::directory::Directory;
use crate::cached_watch::CachedWatch;
use crate::metrics::Cause;

/// News about a transport's owner.
#[derive(Debug)]
pub(crate) enum RouteEvent {
    /// The owner has sent a message.
    Message(CoreMessage),
    /// The attachment has ended.
    Detached(Cause),
    /// The ownership has changed; an attachment may be possible.
    OwnerChanged,
}

#[derive(Debug)]
pub(crate) struct Route {
    directory: Directory,
    stream: StreamId,
    changes: CachedWatch<Cause>,
    attachment: Option<Attachment>,
}

impl Route {
    pub(crate) fn new(directory: &Directory, stream: &StreamId) -> Self {
        let changes = CachedWatch::new(directory.follow(stream));
        let (directory, stream) = (directory.clone(), stream.clone());
        Self { directory, stream, changes, attachment: None }
    }

    /// Whether an owner of the stream is known and linked.
    pub(crate) fn has_owner(&self) -> bool {
        self.directory.has_owner(&self.stream)
    }

    /// Attaches to the owner, if there is one and no attachment exists; returns the newest version of the wire protocol
    /// that the owner serves, if an attachment was made.
    pub(crate) fn attach_to_owner(&mut self) -> Option<u32> {
        if self.attachment.is_some() {
            return None;
        }
        let (attachment, wire_version) = self.directory.attachment(&self.stream)?;
        self.attachment = Some(attachment);
        Some(wire_version)
    }

    /// Sends a message to the owner; discarded without one.
    pub(crate) fn send(&mut self, message: EdgeMessage) {
        if let Some(attachment) = &mut self.attachment {
            attachment.send(message);
        }
    }

    /// Waits for the next event. Cancel safe.
    pub(crate) async fn next(&mut self) -> RouteEvent {
        loop {
            let Self { changes, attachment, .. } = self;
            tokio::select! {
                // The loss of an owner precedes its queued messages.
                biased;
                changed = changes.changed() => {
                    if changed.is_err() {
                        self.changes = CachedWatch::new(self.directory.follow(&self.stream));
                    }
                    match self.ended() {
                        Some(cause) => return self.detached(cause),
                        None if self.attachment.is_none() => return RouteEvent::OwnerChanged,
                        None => {}
                    }
                }
                message = next_message(attachment) => match message {
                    Some(message) => return RouteEvent::Message(message),
                    None => {
                        let lost = self.attachment.as_ref().is_some_and(Attachment::is_closed);
                        let cause = if lost { Cause::LinkLost } else { Cause::Dropped };
                        let cause = self.ended().unwrap_or(cause);
                        return self.detached(cause);
                    }
                },
            }
        }
    }

    /// Takes a queued message of the owner, if there is one.
    pub(crate) fn try_next(&mut self) -> Option<CoreMessage> {
        self.attachment.as_mut().and_then(Attachment::try_next)
    }

    fn ended(&self) -> Option<Cause> {
        let claim = self.attachment.as_ref()?.claim();
        // Read before the call: the sender of changes holds the directory's lock.
        let last = *self.changes.borrow();
        self.directory.ended(claim, last)
    }

    fn detached(&mut self, cause: Cause) -> RouteEvent {
        self.attachment = None;
        RouteEvent::Detached(cause)
    }
}

async fn next_message(attachment: &mut Option<Attachment>) -> Option<CoreMessage> {
    match attachment {
        Some(attachment) => attachment.next().await,
        None => std::future::pending().await,
    }
}

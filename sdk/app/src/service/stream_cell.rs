//! The state of one stream outside the session: constant properties, wake-ups and the end. Shared by `shared` and the
//! handles of the stream.

use std::sync::OnceLock;

use tokio::sync::Notify;

use crate::event::Ended;
use crate::info::StreamInfo;

/// State of one stream outside the session, shared by the handles.
#[derive(Debug)]
pub(crate) struct StreamCell {
    pub(crate) info: StreamInfo,
    /// Wakes the one reader.
    pub(crate) readable: Notify,
    /// Wakes all senders waiting for room or confirmation.
    pub(crate) writable: Notify,
    /// Set once when the stream ends.
    pub(crate) ended: OnceLock<Ended>,
}

impl StreamCell {
    pub(super) fn new(info: StreamInfo) -> Self {
        Self { info, readable: Notify::new(), writable: Notify::new(), ended: OnceLock::new() }
    }

    pub(super) fn wake(&self) {
        self.readable.notify_one();
        self.writable.notify_waiters();
    }
}

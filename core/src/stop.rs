//! The word that the core stops, for every call and server of it.

use tokio::sync::watch;

/// Says it.
#[derive(Debug)]
pub(crate) struct StopSource {
    sender: watch::Sender<bool>,
}

/// Hears it.
#[derive(Debug, Clone)]
pub(crate) struct Stopping {
    receiver: watch::Receiver<bool>,
}

impl StopSource {
    pub(crate) fn new() -> Self {
        Self { sender: watch::channel(false).0 }
    }

    pub(crate) fn stopping(&self) -> Stopping {
        Stopping { receiver: self.sender.subscribe() }
    }

    pub(crate) fn stop(&self) {
        self.sender.send_replace(true);
    }
}

impl Stopping {
    /// Returns when the core stops, or is gone.
    pub(crate) async fn wait(&mut self) {
        let _ = self.receiver.wait_for(|stops| *stops).await;
    }
}

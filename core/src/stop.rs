//! The stop signal of a core for its servers and calls.

use tokio::sync::watch;

/// The sending end.
#[derive(Debug)]
pub(crate) struct StopSource {
    sender: watch::Sender<bool>,
}

/// A receiving end.
#[derive(Debug, Clone)]
pub(crate) struct StopToken {
    receiver: watch::Receiver<bool>,
}

impl StopSource {
    pub(crate) fn new() -> Self {
        Self { sender: watch::channel(false).0 }
    }

    pub(crate) fn token(&self) -> StopToken {
        StopToken { receiver: self.sender.subscribe() }
    }

    pub(crate) fn stop(&self) {
        self.sender.send_replace(true);
    }
}

impl StopToken {
    /// Completes when the core stops or is dropped.
    pub(crate) async fn stopped(&mut self) {
        let _ = self.receiver.wait_for(|is_stopped| *is_stopped).await;
    }
}

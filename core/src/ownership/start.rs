//! How a core's start goes: it is over when something is known of every partition of the first share. Told by
//! the ownership task and its tenures; awaited by the core's start.

use tokio::sync::watch;

use super::tenure::TenureError;

/// Follows the start. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Start {
    progress: watch::Sender<Progress>,
}

#[derive(Debug, Default)]
struct Progress {
    /// Partitions of the first share of which nothing is known yet; absent while there is no share.
    open: Option<usize>,
    failure: Option<TenureError>,
}

impl Start {
    pub(crate) fn new() -> Self {
        Self { progress: watch::Sender::new(Progress::default()) }
    }

    /// The first share has so many partitions; later ones do not count.
    pub(super) fn begun(&self, share: usize) {
        self.progress.send_if_modified(|progress| {
            let is_first = progress.open.is_none();
            progress.open.get_or_insert(share);
            is_first
        });
    }

    /// A partition is served, or another core has it for now.
    pub(super) fn decided(&self) {
        self.progress.send_if_modified(|progress| {
            progress.open = progress.open.map(|open| open.saturating_sub(1));
            true
        });
    }

    /// A partition cannot be had until somebody mends something.
    pub(super) fn failed(&self, error: &TenureError) {
        self.progress.send_if_modified(|progress| {
            progress.failure.get_or_insert_with(|| error.clone());
            true
        });
    }

    /// Waits until the start is over.
    ///
    /// # Errors
    /// The first failure.
    pub(crate) async fn wait(&self) -> Result<(), TenureError> {
        let mut progress = self.progress.subscribe();
        let is_over = |p: &Progress| p.open == Some(0) || p.failure.is_some();
        match progress.wait_for(is_over).await {
            Ok(progress) => progress.failure.clone().map_or(Ok(()), Err),
            // The sender is in `self`.
            Err(_) => Ok(()),
        }
    }
}

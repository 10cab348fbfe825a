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
    /// How many partitions the first share has; absent while there is none.
    share: Option<usize>,
    /// Partitions of which something is known. Tenures may tell so before the size of their share is.
    decided: usize,
    failure: Option<TenureError>,
}

impl Start {
    pub(crate) fn new() -> Self {
        Self { progress: watch::Sender::new(Progress::default()) }
    }

    /// The first share has so many partitions; later ones do not count.
    pub(super) fn begun(&self, share: usize) {
        self.progress.send_if_modified(|progress| {
            let is_first = progress.share.is_none();
            progress.share.get_or_insert(share);
            is_first
        });
    }

    /// A partition is served, or another core has it for now.
    pub(super) fn decided(&self) {
        self.progress.send_modify(|progress| progress.decided += 1);
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
        let is_over =
            |p: &Progress| p.share.is_some_and(|share| p.decided >= share) || p.failure.is_some();
        match progress.wait_for(is_over).await {
            Ok(progress) => progress.failure.clone().map_or(Ok(()), Err),
            // The sender is in `self`.
            Err(_) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[test]
    fn tenures_may_be_faster_than_the_size_of_their_share() {
        let start = Start::new();
        start.decided();
        assert!(start.wait().now_or_never().is_none(), "nobody knows yet how many there are");
        start.begun(2);
        assert!(start.wait().now_or_never().is_none());
        start.decided();
        assert!(matches!(start.wait().now_or_never(), Some(Ok(()))));
    }

    #[test]
    fn a_share_of_nothing_is_a_start() {
        let start = Start::new();
        start.begun(0);
        assert!(matches!(start.wait().now_or_never(), Some(Ok(()))));
        // Shares that come later are not part of it.
        start.begun(3);
        assert!(matches!(start.wait().now_or_never(), Some(Ok(()))));
    }
}

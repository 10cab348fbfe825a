//! Progress of the startup of a core: complete once each partition of the first placement is served, held elsewhere, or
//! unreadable.
//!
//! The ownership task and the partition tasks report to [`Startup`]; `core.rs` waits for the end.

use tokio::sync::watch;

use crate::store::StoreError;

/// Handle to the startup progress. Clones share the progress.
#[derive(Debug, Clone)]
pub(crate) struct Startup {
    progress: watch::Sender<Progress>,
}

#[derive(Debug, Default)]
struct Progress {
    /// Partitions in the first placement; `None` until known.
    expected: Option<usize>,
    /// Partitions that are served, held by another core, or unreadable. Tasks may report before `expected` is known.
    settled: usize,
    /// The first configuration error.
    failure: Option<StoreError>,
}

impl Startup {
    pub(crate) fn new() -> Self {
        Self { progress: watch::Sender::new(Progress::default()) }
    }

    /// Sets the number of partitions in the first placement. Later placements have no effect.
    pub(super) fn on_first_placement(&self, partitions: usize) {
        self.progress.send_if_modified(|progress| {
            let is_first = progress.expected.is_none();
            progress.expected.get_or_insert(partitions);
            is_first
        });
    }

    /// Counts a partition that is served, held by another core, or unreadable.
    pub(super) fn on_settled(&self) {
        self.progress.send_modify(|progress| progress.settled += 1);
    }

    /// Reports a configuration error. The first one fails the startup.
    pub(super) fn on_config_error(&self, error: &StoreError) {
        self.progress.send_if_modified(|progress| {
            progress.failure.get_or_insert_with(|| error.clone());
            true
        });
    }

    /// Waits for the end of the startup.
    ///
    /// # Errors
    /// The first configuration error of a partition task.
    pub(crate) async fn wait(&self) -> Result<(), StoreError> {
        let mut progress = self.progress.subscribe();
        let is_over = |p: &Progress| {
            p.expected.is_some_and(|expected| p.settled >= expected) || p.failure.is_some()
        };
        match progress.wait_for(is_over).await {
            Ok(progress) => progress.failure.clone().map_or(Ok(()), Err),
            // Unreachable: `self` holds the sender.
            Err(_) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[test]
    fn tasks_may_settle_before_the_placement_is_known() {
        let startup = Startup::new();
        startup.on_settled();
        assert!(startup.wait().now_or_never().is_none(), "the placement is unknown");
        startup.on_first_placement(2);
        assert!(startup.wait().now_or_never().is_none());
        startup.on_settled();
        assert!(matches!(startup.wait().now_or_never(), Some(Ok(()))));
    }

    #[test]
    fn an_empty_placement_completes_the_startup() {
        let startup = Startup::new();
        startup.on_first_placement(0);
        assert!(matches!(startup.wait().now_or_never(), Some(Ok(()))));
        startup.on_first_placement(3);
        assert!(matches!(startup.wait().now_or_never(), Some(Ok(()))), "later placements count");
    }
}

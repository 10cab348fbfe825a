//! A TLS configuration that follows its files. Shared by server and client.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::files::{Stamp, TlsFiles};
use crate::ConfigError;

/// Interval of the check for changed files.
const CHECK_EVERY: Duration = Duration::from_secs(1);

/// A configuration built from files, and built again after a change of the files. Clones share the configuration.
#[derive(Debug)]
pub struct Reloading<T>(Arc<Shared<T>>);

#[derive(Debug)]
struct Shared<T> {
    files: TlsFiles,
    build: fn(&TlsFiles) -> Result<T, ConfigError>,
    state: Mutex<State<T>>,
}

#[derive(Debug)]
struct State<T> {
    current: Arc<T>,
    /// Files of the last attempt to load.
    stamp: Stamp,
    /// A failed attempt that is not reported yet: the files may be half written.
    failed: bool,
}

impl<T> Clone for Reloading<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> Reloading<T> {
    /// Builds the first configuration.
    pub(super) fn load(
        files: TlsFiles,
        build: fn(&TlsFiles) -> Result<T, ConfigError>,
    ) -> Result<Self, ConfigError> {
        let stamp = files.stamp();
        let current = Arc::new(build(&files)?);
        let state = Mutex::new(State { current, stamp, failed: false });
        Ok(Self(Arc::new(Shared { files, build, state })))
    }

    /// The configuration in use.
    pub(super) fn current(&self) -> Arc<T> {
        Arc::clone(&self.state().current)
    }

    /// Builds the configuration again if a file has changed. `None`: no change, or a first failure, which may come from
    /// files that are being written.
    ///
    /// After an error the previous configuration stays in use, and the error is returned once.
    pub fn refresh(&self) -> Option<Result<(), ConfigError>> {
        let stamp = self.0.files.stamp();
        let mut state = self.state();
        let changed = state.stamp != stamp;
        if !changed && !state.failed {
            return None;
        }
        match (self.0.build)(&self.0.files) {
            Ok(built) => {
                (state.current, state.stamp, state.failed) = (Arc::new(built), stamp, false);
                Some(Ok(()))
            }
            Err(error) => {
                (state.stamp, state.failed) = (stamp, changed);
                (!changed).then_some(Err(error))
            }
        }
    }

    /// Loads the files in any case, for example at SIGHUP.
    ///
    /// # Errors
    /// If a file cannot be used; the previous configuration stays in use.
    pub fn reload(&self) -> Result<(), ConfigError> {
        let stamp = self.0.files.stamp();
        let built = Arc::new((self.0.build)(&self.0.files)?);
        let mut state = self.state();
        (state.current, state.stamp, state.failed) = (built, stamp, false);
        Ok(())
    }

    /// Follows the files for the life of the process; `report` receives the outcome of each attempt.
    pub async fn follow(self, report: impl Fn(Result<(), ConfigError>)) {
        loop {
            tokio::time::sleep(CHECK_EVERY).await;
            if let Some(outcome) = self.refresh() {
                report(outcome);
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State<T>> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

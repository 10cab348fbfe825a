//! The application instance of a round, on a runtime of its own: the end of the runtime ends all tasks of the SDK, as the
//! death of a process would. An instance that outlived its round could register at the core of the next one.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use minerva_app::Service;
use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;

use super::application::Application;

/// Deadline for the registration, and for the end.
const REGISTRATION: Duration = Duration::from_secs(30);
const END: Duration = Duration::from_secs(10);

/// A registered application instance.
pub(super) struct Instance(Option<Runtime>);

impl Instance {
    pub(super) async fn start(
        api: SocketAddr,
        application: &Arc<Application>,
    ) -> anyhow::Result<Self> {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let handle = runtime.handle().clone();
        let instance = Self(Some(runtime));
        let registered = handle.spawn(Service::connect(api.to_string()).name("default").start());
        let service = timeout(REGISTRATION, registered)
            .await
            .context("the application cannot register")???;
        let application = Arc::clone(application);
        handle.spawn(service.run(move |stream| Arc::clone(&application).attend(stream)));
        Ok(instance)
    }

    /// Returns after all tasks have ended.
    pub(super) async fn end(mut self) -> anyhow::Result<()> {
        if let Some(runtime) = self.0.take() {
            tokio::task::spawn_blocking(move || runtime.shutdown_timeout(END)).await?;
        }
        Ok(())
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

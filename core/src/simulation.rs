//! What the simulation (`tests/simulation`) uses of the inside: the ownership task and the wire's two translations,
//! so that it runs what the core runs. Not built into any program.

mod standing;

use std::sync::Arc;

use std::time::Duration;

use minerva_proto::{app, link};
use prometheus_client::registry::Registry;
use tokio::sync::oneshot;
use tokio::time::sleep;

pub(crate) use standing::of_current;
pub use standing::{Standing, Stands, of_process};

use crate::app::{decode as from_app, encode as to_app};
use crate::limits::Limits;
use crate::link::decode as from_link;
use crate::metrics::Metrics;
use crate::outgoing::Pack;
use crate::ownership::{Means, Ownership};
use crate::partition::{Mail, PartitionOptions, Partitions, SessionId};
use crate::store::Store;
use crate::stream::{AppOutput, Attach, Batch, EdgeOutput};

/// What an instance says of itself.
#[derive(Debug)]
pub struct Registration {
    /// The service.
    pub service: Arc<str>,
    /// Its identity.
    pub instance_id: Arc<str>,
    /// Bytes of unacknowledged strings per stream.
    pub window: usize,
    /// The streams that it holds.
    pub held: Vec<u64>,
}

/// A core's ownership task, as the core's start makes it: it takes part until `resign`, then gives everything
/// back. Dropping it is like a crash.
pub async fn own(
    owner: Arc<str>,
    store: Arc<dyn Store>,
    partitions: Partitions,
    limits: Limits,
    options: PartitionOptions,
    resign: oneshot::Receiver<()>,
) {
    while store.partitions(partitions.count()).await.is_err() {
        sleep(Duration::from_millis(100)).await;
    }
    let standby = options.standby;
    let metrics = Metrics::new(&mut Registry::default());
    let means = Means::new(owner, store, partitions, limits, options, metrics);
    let stop = async {
        // Dropped without a word, this core is gone.
        let _ = resign.await;
    };
    Ownership::new(means, standby).run(stop).await;
}

/// Reads an Attach.
///
/// # Errors
/// What is wrong with it.
pub fn attach(attach: link::Attach) -> Result<Attach, String> {
    from_link::attach(attach).map_err(|invalid| invalid.to_string())
}

/// Reads a Batch.
///
/// # Errors
/// What is wrong with it.
pub fn batch(batch: link::Batch) -> Result<Batch, String> {
    from_link::batch(batch).map_err(|invalid| invalid.to_string())
}

/// A message for an edge.
pub fn relay_response(outputs: Vec<EdgeOutput>) -> link::RelayResponse {
    EdgeOutput::pack(outputs)
}

/// Reads a registration.
///
/// # Errors
/// What is wrong with it.
pub fn registration(register: app::Register) -> Result<Registration, String> {
    let read = from_app::registration(register).map_err(|invalid| invalid.to_string())?;
    let from_app::Registration { service, instance_id, window, held } = read;
    Ok(Registration { service, instance_id, window, held })
}

/// Reads a command: the stream, and the mail for its partition.
///
/// # Errors
/// What is wrong with it.
pub fn command(session: SessionId, command: app::Command) -> Result<(u64, Mail), String> {
    from_app::command(session, command).map_err(|invalid| invalid.to_string())
}

/// What an instance is told of a core's limits.
pub fn registered(limits: &Limits, core_id: &str) -> app::Registered {
    to_app::registered(limits, core_id)
}

/// A message for an instance.
pub fn serve_response(outputs: Vec<AppOutput>) -> app::ServeResponse {
    AppOutput::pack(outputs)
}

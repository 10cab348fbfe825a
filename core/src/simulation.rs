//! Internals of the core for the simulation (`tests/simulation`): the ownership task and the conversions of the wire.
//!
//! The simulation thereby runs the original code of the core. No program contains this module.

use std::sync::Arc;
use std::time::Duration;

use minerva_proto::app;
use minerva_proto::link::CoreFrame;
use minerva_proto::link::pb::RelayResponse;
use minerva_proto::{Features, StreamNumber};
use prometheus_client::registry::Registry;
use tokio::sync::oneshot;
use tokio::time::sleep;

pub use crate::suspension::{SimulatedProcess, Suspendable, in_process};

use crate::app::{decode as from_app, encode as to_app};
use crate::limits::Limits;
use crate::metrics::Metrics;
use crate::outgoing::Pack;
use crate::ownership::{CoreContext, Ownership};
use crate::partition::{HeldStream, Mail, PartitionOptions, PartitionTable, SessionId};
use crate::store::Store;
use crate::stream::AppOutput;

/// The registration of an application instance.
#[derive(Debug)]
pub struct Registration {
    /// Name of the service.
    pub service: Arc<str>,
    /// Identity of the instance, the same in all calls.
    pub instance_id: Arc<str>,
    /// Unacknowledged bytes in flight to the instance, per stream.
    pub window: usize,
    /// Features in use.
    pub features: Features,
    /// The streams that the instance already holds.
    pub held: Vec<HeldStream>,
}

/// Runs the ownership task of a core until `resign` resolves, then releases all partitions.
///
/// Dropping the future has the effect of a crash.
pub async fn run_ownership(
    owner: Arc<str>,
    store: Arc<dyn Store>,
    partitions: PartitionTable,
    limits: Limits,
    options: PartitionOptions,
    resign: oneshot::Receiver<()>,
) {
    while store.partitions(partitions.count()).await.is_err() {
        sleep(Duration::from_millis(100)).await;
    }
    let standby = options.standby;
    let metrics = Metrics::new(&mut Registry::default());
    let context = CoreContext::new(owner, store, partitions, limits, options, metrics);
    let stop = async {
        // A dropped sender stops the task as well.
        let _ = resign.await;
    };
    // The store of the simulation does not fail for good, and its programs read all content.
    let _ = Ownership::new(context, standby).run(stop).await;
}

/// Packs outputs into a link message for an edge.
pub fn relay_response(outputs: Vec<CoreFrame>) -> RelayResponse {
    CoreFrame::pack(outputs, ())
}

/// Converts and validates a registration.
///
/// # Errors
/// The text of the validation error.
pub fn registration(register: app::Register) -> Result<Registration, String> {
    let read = from_app::registration(register).map_err(|invalid| invalid.to_string())?;
    let from_app::Registration { service, instance_id, window, features, held } = read;
    Ok(Registration { service, instance_id, window, features, held })
}

/// Converts and validates a command. Returns the stream number and the mail for the partition.
///
/// # Errors
/// The text of the validation error.
pub fn command(session: SessionId, command: app::Command) -> Result<(StreamNumber, Mail), String> {
    from_app::command(session, command).map_err(|invalid| invalid.to_string())
}

/// The confirmation of a registration, with the limits of the core.
pub fn registered(limits: &Limits, core_id: &str) -> app::Registered {
    to_app::registered(limits, core_id)
}

/// Packs outputs into a message for an application instance with these features in use.
pub fn serve_response(outputs: Vec<AppOutput>, features: Features) -> app::ServeResponse {
    AppOutput::pack(outputs, features)
}

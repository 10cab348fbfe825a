//! What the simulation (`tests/simulation`) uses of the inside: the wire's two translations and the clock of
//! deadlines, so that it runs what the core runs. Not built into any program.

use std::sync::Arc;

use minerva_proto::{app, link};

use crate::app::{decode as from_app, encode as to_app};
use crate::clock::PatientClock;
use crate::limits::Limits;
use crate::link::decode as from_link;
use crate::outgoing::Pack;
use crate::partition::{Clock, MAX_SLEEP, Mail, SessionId};
use crate::stream::{AppOutput, Attach, Batch, EdgeOutput, Millis};

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

/// The clock of one partition's deadlines, as the core has it.
pub fn live_clock() -> Clock {
    let clock = PatientClock::new(2 * MAX_SLEEP);
    Arc::new(move || Millis(clock.now_ms()))
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
pub fn registered(limits: &Limits) -> app::Registered {
    to_app::registered(limits)
}

/// A message for an instance.
pub fn serve_response(outputs: Vec<AppOutput>) -> app::ServeResponse {
    AppOutput::pack(outputs)
}

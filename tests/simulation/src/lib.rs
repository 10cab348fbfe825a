//! The deterministic simulation (design §12.3): clients, edges, cores, applications and a store in virtual time, in
//! one thread, from one seed. What can be real is real: the partitions' tasks, the edge's transport machine, the
//! application SDK's session machine, the client SDK's stream machine, and the wires' translations between them.
//! The network, the shells around the machines and the store are models, which fail as the seed wants; the
//! [`Checker`](checker) knows the guarantees of design §1.
//!
//! A run has three parts: things go wrong; then everything is healed, and all that was sent must arrive within a
//! bounded time; then every stream is ended, and both sides must know it.

mod agenda;
mod app;
mod checker;
mod client;
mod clock;
mod core;
mod durable;
mod edge;
mod event;
mod faults;
mod network;
mod outsider;
mod plan;
mod random;
mod run;
mod store;
mod trace;
mod world;

pub use faults::{Fault, Faults};
pub use minerva_proto::mutation::Mutation;
pub use plan::{Options, Rollbacks};
pub use run::{Outcome, run};
pub use store::{Answer, ModelStore, Op, StoreData};

/// Real time, for reports.
pub fn wall_clock() -> std::time::Instant {
    clock::wall()
}

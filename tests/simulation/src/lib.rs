//! The deterministic simulation: clients, edges, cores, applications and a store in virtual time, in one thread, from
//! one seed.
//!
//! Real code: the partition tasks of the core, the transport machine of the edge, the session machine of the
//! application SDK, the stream machine of the client SDK, and the wire codecs between them. The network, the store
//! and the drivers of the machines are models with faults.
//!
//! A run has three phases: faults occur; after the end of all faults every message must arrive within a bounded time;
//! at last every stream ends, and both sides must receive the end. The [`Checker`](checker) checks the guarantees.

mod api_caller;
mod app;
mod checker;
mod client;
mod clock;
mod connection;
mod core;
mod durable;
mod edge;
mod end;
mod event;
mod event_queue;
mod faults;
mod messages;
mod network;
mod observation;
mod outcome;
mod plan;
mod push;
mod random;
mod release_0_1;
mod run;
mod store;
mod thief;
mod trace;
mod versions;
mod wake_flag;
mod world;

pub use faults::{Fault, Faults};
pub use minerva_proto::mutation::Mutation;
pub use outcome::Outcome;
pub use plan::{Clients, Frequency, Options};
pub use run::run;
pub use store::{ModelStore, Op, OpReply, StoreData};

/// Real time, for reports.
pub fn wall_clock() -> std::time::Instant {
    clock::wall()
}

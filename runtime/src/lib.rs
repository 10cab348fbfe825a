//! Process plumbing: the parts of a program that have nothing to do with streams.
//!
//! [`tasks`] schedules the tasks of gRPC calls and store connections; called by edge, core and application SDK.
//! [`dial`] opens TCP connections to names with several addresses; called by the Rust client and the Redis store.
//! [`network`] parses networks in CIDR notation; called by the edge and the Rust client.
//! [`recurring`] limits the log lines of recurring faults; called by core and edge.
//! The feature `tls` adds [`tls`]: mutual TLS between the programs of a deployment; called by core, edge and application SDK.
//! The feature `process` adds the operator interface of a program: [`program()`] with its exit codes, [`LogConfig`],
//! signals, the [`Admin`] port, and the subcommands [`health()`] and [`doctor`]. Each `main.rs` calls these.
#![warn(missing_docs)]

#[cfg(feature = "process")]
pub mod admin;
#[cfg(any(feature = "process", feature = "tls"))]
pub mod config_error;
pub mod dial;
#[cfg(feature = "process")]
pub mod doctor;
#[cfg(feature = "process")]
pub mod health;
#[cfg(feature = "process")]
pub mod log;
#[cfg(feature = "process")]
pub mod memory;
pub mod network;
#[cfg(feature = "process")]
pub mod program;
pub mod recurring;
#[cfg(feature = "process")]
pub mod signals;
pub mod tasks;
#[cfg(feature = "process")]
pub mod threads;
#[cfg(feature = "tls")]
pub mod tls;
#[cfg(feature = "process")]
pub mod values;

#[cfg(any(feature = "process", feature = "tls"))]
pub use self::config_error::ConfigError;
#[cfg(feature = "process")]
pub use self::{
    admin::{Admin, AdminAccess, AdminConfig, Readiness},
    health::{HealthError, Subcommand, health},
    log::LogConfig,
    memory::usable_memory,
    program::{EXIT_CONFIG, program},
    signals::{ReloadSignals, StopSignals},
    threads::{ThreadConfig, half_of_processors, runtime, threads},
    values::{address, duration, positive_duration},
};

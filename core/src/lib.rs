//! The core: owns streams and keeps their state in a store. Sockets of clients belong to the edges.
//!
//! A frame of a client arrives over `link` and is mailed to the [`partition`] of the stream. The [`stream`] machine
//! handles the frame. The resulting [records](state) are made durable by the [`store`] before the outputs are released:
//! to edges over the link, to app instances over `app`. [`Core`] assembles these parts; `minerva-core` and the
//! standalone program run a core.

pub mod access;
mod api;
mod app;
mod clock;
mod config;
mod core;
mod durability;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod http_api;
pub mod inspect;
mod jwt;
pub mod limits;
mod link;
mod memory_budget;
mod memory_level;
mod metrics;
mod outgoing;
mod ownership;
pub mod partition;
mod peer;
mod server;
#[cfg(feature = "simulation")]
#[doc(hidden)]
pub mod simulation;
pub mod state;
mod stop;
pub mod store;
pub mod stream;
mod stream_service;
#[cfg(feature = "simulation")]
mod suspension;
mod unavailable;
mod validation;

pub use config::Config;
pub use jwt::JwtOptions;
pub use metrics::Metrics;
pub use partition::PartitionOptions;

pub use crate::core::{Core, StartError, is_config_error};

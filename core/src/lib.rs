//! The core: owns streams and keeps their state in a store; knows no sockets.
//!
//! A client's frame comes in over `link`, goes by mail to the [`partition`] of its stream, there
//! through the [`stream`] machine, whose [records](state) are made durable by the [`store`] before what
//! follows from them goes out: to edges over the link, to application instances over `app`.
//! [`Core`] puts these together; `minerva-core` and the standalone program run it.

mod api;
mod app;
mod clock;
mod config;
mod core;
mod invalid;
pub mod limits;
mod link;
mod metrics;
mod outgoing;
mod ownership;
pub mod partition;
mod server;
#[cfg(feature = "simulation")]
#[doc(hidden)]
pub mod simulation;
pub mod state;
mod stop;
pub mod store;
pub mod stream;
mod streams;

pub use config::Config;
pub use metrics::Metrics;
pub use partition::PartitionOptions;

pub use crate::core::{Core, StartError, is_config};

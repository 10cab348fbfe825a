//! The core: owns streams and keeps their state in a store; knows no sockets.
//!
//! [`store`] is the contract with what is durable.

mod clock;
pub mod partition;
pub mod store;
pub mod stream;

//! Faults on real processes: kills under load, and slow readers, with every string counted at both ends.
//!
//! Clients and the application service run in this process, through the published SDKs; the server is
//! a process of its own.

#![allow(dead_code)]
mod checker;
mod clock;
mod ledger;
mod memory;
mod message;
mod random;
mod report;
mod server;
mod traffic;

fn main() {}

//! Tests of a partition: the output gate, recovery, assignment, a store that fails.

mod assignment;
mod bench;
mod conversation;
mod crash;
mod gate;
mod store;

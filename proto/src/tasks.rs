//! How the tasks behind a gRPC call are run. A string passes a chain of them, each of which wakes the next; what
//! tokio does about a wake is what a lone string costs, and how much goes together is what many strings cost.
//! Edge, core and the application SDK use these for their calls, and the core's store for its connections.

mod company;
mod in_one_go;

use std::future::Future;

pub use company::Company;
pub use in_one_go::InOneGo;

/// Runs the tasks of HTTP/2 connections, each [in one go](InOneGo): HTTP/2's flow control wakes the task that
/// sends a message about the room for the next one, so that each message would wake a thread besides.
#[derive(Debug, Clone, Copy, Default)]
pub struct Spawner;

impl<F> hyper::rt::Executor<F> for Spawner
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, future: F) {
        tokio::spawn(InOneGo::new(future));
    }
}

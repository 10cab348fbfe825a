//! Scheduling of the tasks behind gRPC calls and store connections, on top of tokio.
//!
//! A message passes a chain of tasks, each of which wakes the next. [`InlineWake`] and [`Spawner`] make the wake of a
//! lone message cheap; [`Coalescer`] batches messages under load. Edge, core and the application SDK use them for
//! their calls, and the core for its store connections.

mod coalescer;
mod inline_wake;

use std::future::Future;

pub use coalescer::Coalescer;
pub use inline_wake::InlineWake;

/// Executor for HTTP/2 connections that wraps each task in [`InlineWake`].
///
/// The flow control of HTTP/2 wakes the sending task once per message about the room for the next one. Without the
/// wrapper each of these wakes would wake a second worker thread.
#[derive(Debug, Clone, Copy, Default)]
pub struct Spawner;

impl<F> hyper::rt::Executor<F> for Spawner
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, future: F) {
        tokio::spawn(InlineWake::new(future));
    }
}

//! The two windows that every end of a stream has: what it sent and keeps until it is acknowledged
//! ([`SendQueue`]), and what it received and puts in order ([`ReceiveWindow`]). Used by the client, the
//! core and the application SDK alike. They count and order; when to send what is their caller's matter.

mod receive_window;
mod send_queue;
#[cfg(test)]
mod tests;

pub use receive_window::{Overflow, ReceiveWindow, Received, WindowLimits};
pub use send_queue::{AckedUnsent, Freed, SendQueue};

//! The send queue and the receive window of a stream end, used by the clients, the core and the application SDK.
//!
//! [`SendQueue`] keeps sent messages until they are acknowledged; [`ReceiveWindow`] puts received messages in order.
//! Both only count and order: the caller decides when to send, and enforces the limit of the queue.

mod receive_window;
mod send_queue;
#[cfg(test)]
mod tests;

pub use receive_window::{ReceiveWindow, Received, WindowLimits, WindowOverflowError};
pub use send_queue::{AckedUnsentError, Freed, SendQueue};

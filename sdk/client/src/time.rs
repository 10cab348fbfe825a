//! Time in the pure machines of the client. Produced by `clock.rs`.

use std::time::Duration;

/// Time since the start of the stream.
pub(crate) type Time = Duration;

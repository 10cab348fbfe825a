//! Minimum round-trip time: one stream, one message in flight.

use crate::loader::Shape;

pub(super) const SHAPE: Shape = Shape { connections: 1, in_flight: 1, bytes: 64, every: None };

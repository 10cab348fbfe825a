//! Throughput: many streams, each with many short messages in flight.

use crate::loader::Shape;

pub(super) const SHAPE: Shape = Shape { connections: 100, in_flight: 64, bytes: 64, every: None };

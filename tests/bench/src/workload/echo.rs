//! Request and response on many streams, one message in flight on each.

use crate::loader::Shape;

pub(super) const SHAPE: Shape = Shape { connections: 100, in_flight: 1, bytes: 64, every: None };

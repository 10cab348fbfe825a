//! Question and answer on many streams, one at a time on each.

use crate::loader::Shape;

pub(super) const SHAPE: Shape = Shape { connections: 100, in_flight: 1, bytes: 64, every: None };

//! Tests of the stream machine.

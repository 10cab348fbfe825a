//! What the simulation (`tests/simulation`) uses of the inside: the link's two translations, so that it says what
//! an edge says. Not built into any program.

use minerva_proto::link as wire;

use crate::link::convert;
use crate::transport::{FromCore, ToCore};

/// What goes to the core about a transport, as a frame.
pub fn to_wire(transport: u64, message: ToCore) -> wire::EdgeFrame {
    wire::EdgeFrame { frame: Some(convert::to_wire(transport, message)) }
}

/// What the core says, and of which transport.
///
/// # Errors
/// What is wrong with it.
pub fn from_wire(frame: wire::CoreFrame) -> Result<(u64, FromCore), String> {
    convert::from_wire(frame).map_err(|malformed| malformed.to_string())
}

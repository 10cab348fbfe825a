//! Versions of the wire protocol on one transport: which of them its hello may request, and the framing behind the
//! hello. Used by the transport machine and its drivers.

use minerva_proto::Framing;

/// The versions that the hello of a transport may request.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum WireVersions {
    /// Version 2.
    #[default]
    Two,
    /// Version 2. The edge serves version 3 as well, but not to a request of this content type.
    TwoByContentType,
    /// Version 2 or 3.
    TwoOrThree,
    /// Version 3, as selected by the subprotocol of a WebSocket.
    Three,
}

impl WireVersions {
    /// The newest version that the edge serves.
    pub(super) fn newest(self) -> u64 {
        if self == Self::Two { 2 } else { 3 }
    }
}

/// The framing of the bytes behind the hello, and of all bytes to the client. A transport has version 2 until its hello
/// or its subprotocol selects version 3.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wire {
    /// Lines or lengths of four bytes.
    V2(Framing),
    /// Type and length before each body.
    V3,
}

impl Wire {
    /// The framing before the hello.
    pub(super) fn before_hello(framing: Framing, versions: WireVersions) -> Self {
        if versions == WireVersions::Three { Self::V3 } else { Self::V2(framing) }
    }
}

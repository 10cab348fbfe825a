//! Violations of the protocol by a client, and the frames that report them. Found by `inbound.rs`.

use minerva_proto::KillReason;
use minerva_proto::v3::{Refusal, RefusalCode};

/// A violation that ends reading.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fault {
    /// On a transport of version 2.
    Kill(KillReason),
    /// On a transport of version 3.
    Refusal(Box<Refusal>),
    /// A hello of version 3 in an HTTP request of another content type.
    ContentType,
}

impl Fault {
    /// A frame or a hello of version 2 that is unknown, malformed or not allowed.
    pub(super) const INVALID: Self = Self::Kill(KillReason::InvalidFrameTypeOrArguments);

    /// A violation on a transport of version 3.
    pub(super) fn refusal(refusal: impl Into<Refusal>) -> Self {
        Self::Refusal(Box::new(refusal.into()))
    }

    /// A violation of version 3 with a description for developers.
    pub(super) fn titled(code: RefusalCode, title: &str) -> Self {
        Self::refusal(Refusal::with_title(code, title))
    }

    /// The reason as reported to the core, which closes the transport.
    pub(super) fn kill_reason(&self) -> KillReason {
        match self {
            Self::Kill(reason) => *reason,
            Self::Refusal(refusal) if refusal.code() == Some(RefusalCode::TooLarge) => {
                KillReason::FrameCorruption
            }
            Self::Refusal(_) | Self::ContentType => KillReason::InvalidFrameTypeOrArguments,
        }
    }
}

/// The code of a refusal for a kill of the core.
pub(super) fn code_of_kill(reason: KillReason) -> RefusalCode {
    match reason {
        KillReason::StreamAttachFailure => RefusalCode::Gone,
        KillReason::AckedUnsentStrings => RefusalCode::AckedUnsent,
        KillReason::FrameCorruption | KillReason::InvalidFrameTypeOrArguments => RefusalCode::Frame,
        KillReason::RwinOverflow => RefusalCode::Window,
    }
}

//! Reasons for failed TLS handshakes of clients, and their label in metric and log.

use std::io;

use rustls::{AlertDescription, Error};

/// Reason for a failed handshake.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HandshakeError {
    /// The bytes are no TLS, or the client and this edge have no common version, cipher or protocol, or the client
    /// rejects the certificate.
    #[error("{0}")]
    Refused(Error),
    /// Time limit exceeded.
    #[error("the handshake was not complete within 5 s")]
    Timeout,
    /// The client disconnected.
    #[error("the client disconnected")]
    Disconnected,
}

impl HandshakeError {
    /// The reason in the error of a connection.
    pub(super) fn of(error: io::Error) -> Self {
        match error.downcast::<Error>() {
            Ok(error) => Self::Refused(error),
            Err(_) => Self::Disconnected,
        }
    }

    /// Label of the metric and of the log line.
    pub(crate) fn cause(&self) -> &'static str {
        match self {
            Self::Refused(Error::InvalidMessage(_) | Error::InappropriateMessage { .. }) => {
                "not_tls"
            }
            Self::Refused(Error::PeerIncompatible(_) | Error::NoApplicationProtocol) => {
                "incompatible"
            }
            Self::Refused(Error::AlertReceived(AlertDescription::CloseNotify)) => "disconnected",
            Self::Refused(Error::AlertReceived(_)) => "rejected_by_client",
            Self::Refused(_) => "other",
            Self::Timeout => "timeout",
            Self::Disconnected => "disconnected",
        }
    }

    /// Whether one side has refused the other. Time limits and disconnections are usual on a public port.
    pub(crate) fn is_refusal(&self) -> bool {
        matches!(self, Self::Refused(_)) && self.cause() != "disconnected"
    }
}

#[cfg(test)]
mod tests {
    use rustls::{InvalidMessage, PeerIncompatible};

    use super::*;

    #[test]
    fn each_failure_has_a_cause() {
        let rejected = Error::AlertReceived(AlertDescription::UnknownCA);
        let version = Error::PeerIncompatible(PeerIncompatible::Tls12NotOffered);
        for (error, cause, is_refusal) in [
            (Error::InvalidMessage(InvalidMessage::InvalidContentType), "not_tls", true),
            (version, "incompatible", true),
            (Error::NoApplicationProtocol, "incompatible", true),
            (rejected, "rejected_by_client", true),
            (Error::AlertReceived(AlertDescription::CloseNotify), "disconnected", false),
            (Error::DecryptError, "other", true),
        ] {
            let error = io::Error::new(io::ErrorKind::InvalidData, error);
            let error = HandshakeError::of(error);
            assert_eq!((error.cause(), error.is_refusal()), (cause, is_refusal), "{error:?}");
        }
        let reset = HandshakeError::of(io::ErrorKind::ConnectionReset.into());
        assert_eq!((reset.cause(), reset.is_refusal()), ("disconnected", false));
        assert_eq!(HandshakeError::Timeout.cause(), "timeout");
    }
}

//! The kinds of transports, as edge, core, SDKs and tests name them.

use std::fmt;
use std::str::FromStr;

/// Carrier of a transport's frames.
///
/// ```
/// use minerva_proto::TransportKind;
///
/// assert_eq!("http-stream".parse(), Ok(TransportKind::HttpStream));
/// assert!(TransportKind::WebSocket.is_socket());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TransportKind {
    /// Raw TCP; each frame follows its length.
    Tcp,
    /// WebSocket.
    WebSocket,
    /// An HTTP exchange whose response is streamed. The client sends by further POST requests.
    HttpStream,
    /// An HTTP exchange whose response ends with the first flush. Uploads are of this kind, too.
    LongPoll,
}

/// A text names no [`TransportKind`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("unknown transport: use tcp, websocket, http-stream or long-poll")]
pub struct UnknownTransportError;

impl TransportKind {
    /// All kinds.
    pub const ALL: [Self; 4] = [Self::Tcp, Self::WebSocket, Self::HttpStream, Self::LongPoll];

    /// The name that [`FromStr`] reads.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::WebSocket => "websocket",
            Self::HttpStream => "http-stream",
            Self::LongPoll => "long-poll",
        }
    }

    /// Whether one transport carries any number of messages in both directions.
    pub fn is_socket(self) -> bool {
        self.is_streaming_from_client()
    }

    /// Whether the client sends any number of messages over one transport.
    pub fn is_streaming_from_client(self) -> bool {
        match self {
            Self::Tcp | Self::WebSocket => true,
            Self::HttpStream | Self::LongPoll => false,
        }
    }

    /// Whether the server sends any number of messages over one transport.
    pub fn is_streaming_to_client(self) -> bool {
        match self {
            Self::Tcp | Self::WebSocket | Self::HttpStream => true,
            Self::LongPoll => false,
        }
    }
}

impl fmt::Display for TransportKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for TransportKind {
    type Err = UnknownTransportError;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name).ok_or(UnknownTransportError)
    }
}

#[cfg(feature = "grpc")]
mod generated {
    use super::TransportKind;
    use crate::{app, link};

    /// Converts to and from a generated enum. Unset and unknown values are `None`: a newer peer may have more kinds.
    macro_rules! convert {
        ($generated:ty) => {
            impl From<TransportKind> for $generated {
                fn from(kind: TransportKind) -> Self {
                    match kind {
                        TransportKind::Tcp => Self::Tcp,
                        TransportKind::WebSocket => Self::Websocket,
                        TransportKind::HttpStream => Self::HttpStream,
                        TransportKind::LongPoll => Self::LongPoll,
                    }
                }
            }

            impl From<$generated> for Option<TransportKind> {
                fn from(kind: $generated) -> Self {
                    match kind {
                        <$generated>::Unspecified => None,
                        <$generated>::Tcp => Some(TransportKind::Tcp),
                        <$generated>::Websocket => Some(TransportKind::WebSocket),
                        <$generated>::HttpStream => Some(TransportKind::HttpStream),
                        <$generated>::LongPoll => Some(TransportKind::LongPoll),
                    }
                }
            }

            impl From<Option<TransportKind>> for $generated {
                fn from(kind: Option<TransportKind>) -> Self {
                    kind.map_or(Self::Unspecified, Self::from)
                }
            }
        };
    }

    convert!(link::pb::TransportKind);
    convert!(app::TransportKind);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_written() {
        for kind in TransportKind::ALL {
            assert_eq!(kind.to_string().parse(), Ok(kind));
        }
        assert_eq!("TCP".parse::<TransportKind>(), Err(UnknownTransportError));
    }

    #[cfg(feature = "grpc")]
    #[test]
    fn kinds_survive_both_contracts() {
        use crate::{app, link};
        for kind in TransportKind::ALL.into_iter().map(Some).chain([None]) {
            assert_eq!(Option::from(link::pb::TransportKind::from(kind)), kind);
            assert_eq!(Option::from(app::TransportKind::from(kind)), kind);
        }
    }
}

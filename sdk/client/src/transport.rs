//! The error type shared by all transports.

use std::time::Duration;

use minerva_proto::v3::Refusal;
use minerva_runtime::dial::DialError;

use crate::clock::CONNECT_TIMEOUT;
use crate::proxy::ProxyError;
use crate::refusal::HttpRefusal;
use crate::tls::TlsFailure;
use crate::wire::DecodeError;

/// Failure of a transport; the stream continues on another transport. The application sees the
/// [`Problem`](crate::Problem) behind the failure.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TransportError {
    #[error(transparent)]
    Io(#[from] std::io::Error),
    #[error(transparent)]
    Dial(#[from] DialError),
    #[error(transparent)]
    Proxy(#[from] ProxyError),
    #[error("{stage} took more than {} s", CONNECT_TIMEOUT.as_secs())]
    Timeout { stage: &'static str },
    #[error(transparent)]
    Tls(#[from] TlsFailure),
    #[error("the host is not a valid name for a certificate")]
    Name,
    #[error("the server closed the connection")]
    Closed,
    #[error("the server closed the WebSocket with code {0}")]
    CloseCode(u16),
    #[error(transparent)]
    Decode(#[from] DecodeError),
    #[error("websocket: {0}")]
    WebSocket(#[from] Box<tokio_tungstenite::tungstenite::Error>),
    #[error("http: {0}")]
    Http(#[from] hyper_util::client::legacy::Error),
    #[error("http: {0}")]
    HttpBody(#[from] hyper::Error),
    #[error("{0}")]
    Status(HttpRefusal),
    #[error("the response with status 200 is not from a Minerva server")]
    NotMinerva,
}

impl TransportError {
    /// The delay before the next attempt that the server asks for.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        if let Self::Status(refusal) = self { refusal.retry_after } else { None }
    }

    /// The refusal object of a server of version 3.
    pub(crate) fn refusal(&self) -> Option<Refusal> {
        let Self::Status(response) = self else { return None };
        let mut refusal = Refusal::parse(response.problem_json()?)?;
        refusal.after = refusal.after.or(response.retry_after);
        Some(refusal)
    }

    /// Whether the server has only version 2.
    pub(crate) fn is_only_version_2(&self) -> bool {
        matches!(self, Self::Decode(DecodeError::OnlyVersion2))
    }
}

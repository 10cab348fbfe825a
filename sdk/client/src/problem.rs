//! Problems of a stream as reported to the application: code, title and delay. Derived from failures of transports, of
//! which the server's come from the HTTP status, the close code of a WebSocket, or the kill of wire version 2. Pure.

use std::fmt;
use std::time::Duration;

use hyper::StatusCode;
use minerva_proto::KillReason;
use minerva_proto::v3::{CLOSE_CODE, ClientAction, Refusal, RefusalCode};
use tokio_tungstenite::tungstenite::Error as WebSocketError;

use crate::config::TransportKind;
use crate::refusal::HttpRefusal;
use crate::transport::TransportError;
use crate::wire::DecodeError;

/// Why a stream has no connection at present; see [`Stream::problem`](crate::Stream::problem).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The cause, for programs.
    pub code: ProblemCode,
    /// The cause and, where known, the fix; for developers.
    pub title: String,
    /// Delay before the next attempt that the server asked for.
    pub after: Option<Duration>,
}

/// Cause of a [`Problem`]. The texts are those of the protocol's refusals, and `network`, `blocked`, `proxy` and
/// `timeout`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ProblemCode {
    /// The server refused the transport.
    Refused(RefusalCode),
    /// No connection, or a lost one.
    Network,
    /// The TLS handshake failed.
    Blocked,
    /// A proxy refused the connection, or the response is not from a Minerva server.
    Proxy,
    /// No answer in time.
    Timeout,
}

/// A failed attempt to connect: transport, address and reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailedAttempt {
    /// The kind of transport.
    pub transport: TransportKind,
    /// The address, as configured.
    pub address: String,
    /// The reason.
    pub problem: Problem,
}

impl ProblemCode {
    /// The text of the code.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Refused(code) => code.as_str(),
            Self::Network => "network",
            Self::Blocked => "blocked",
            Self::Proxy => "proxy",
            Self::Timeout => "timeout",
        }
    }

    /// Whether attempts are useless until the configuration of client or server changes.
    pub(crate) fn halts(self) -> bool {
        matches!(self, Self::Refused(code) if code.action() == ClientAction::Halt)
    }
}

impl fmt::Display for ProblemCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.title)
    }
}

impl fmt::Display for FailedAttempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} to {}: {}", self.transport, self.address, self.problem)
    }
}

impl Problem {
    pub(crate) fn new(code: ProblemCode, title: impl fmt::Display) -> Self {
        Self { code, title: title.to_string(), after: None }
    }

    /// The problem behind the failure of a transport.
    pub(crate) fn of(error: &TransportError) -> Self {
        let code = match error {
            TransportError::Status(refusal) => return Self::of_status(refusal),
            TransportError::CloseCode(close) => close_code(*close),
            TransportError::Http(http) => {
                let source = std::error::Error::source(http);
                let inner = source.and_then(|cause| cause.downcast_ref::<TransportError>());
                return inner.map_or_else(|| Self::new(ProblemCode::Network, error), Self::of);
            }
            TransportError::Io(io) if io.kind() == std::io::ErrorKind::TimedOut => {
                ProblemCode::Timeout
            }
            TransportError::Dial(dial) if dial.is_timeout() => ProblemCode::Timeout,
            TransportError::Timeout { .. } => ProblemCode::Timeout,
            TransportError::Proxy(_) | TransportError::NotMinerva => ProblemCode::Proxy,
            TransportError::Tls(_) | TransportError::Name => ProblemCode::Blocked,
            TransportError::Decode(DecodeError::OnlyVersion2) => {
                ProblemCode::Refused(RefusalCode::Version)
            }
            TransportError::Decode(DecodeError::Foreign) => ProblemCode::Proxy,
            TransportError::Decode(_) => ProblemCode::Refused(RefusalCode::Frame),
            TransportError::WebSocket(cause) => of_websocket(cause),
            TransportError::Io(_)
            | TransportError::Dial(_)
            | TransportError::Closed
            | TransportError::HttpBody(_) => ProblemCode::Network,
        };
        Self::new(code, error)
    }

    /// The problem behind a kill of wire version 2. An invalid frame on a transport that was never attached is the hello.
    pub(crate) fn of_kill(reason: KillReason, was_attached: bool) -> Self {
        let code = match reason {
            KillReason::StreamAttachFailure => RefusalCode::Gone,
            KillReason::AckedUnsentStrings => RefusalCode::AckedUnsent,
            KillReason::InvalidFrameTypeOrArguments if !was_attached => RefusalCode::Hello,
            KillReason::FrameCorruption | KillReason::InvalidFrameTypeOrArguments => {
                RefusalCode::Frame
            }
            KillReason::RwinOverflow => RefusalCode::Window,
        };
        let title = format!("{} ({reason})", code.title());
        Self::new(ProblemCode::Refused(code), title)
    }

    /// The problem behind a refusal of version 3.
    pub(crate) fn of_refusal(refusal: &Refusal) -> Self {
        let code = refusal.code().map_or(ProblemCode::Proxy, ProblemCode::Refused);
        let title = format!("{}: {}", refusal.code_text(), refusal.title());
        Self { code, title, after: refusal.after }
    }

    fn of_status(refusal: &HttpRefusal) -> Self {
        if let Some(parsed) = refusal.problem_json().and_then(Refusal::parse) {
            let after = parsed.after.or(refusal.retry_after);
            return Self { after, ..Self::of_refusal(&parsed) };
        }
        // Pages of programs on the way are HTML or empty; the server answers in plain text.
        let code = match (refusal.plain_text(), refusal.status) {
            (Some(text), status) => of_status(status, text),
            (None, StatusCode::TOO_MANY_REQUESTS) => ProblemCode::Refused(RefusalCode::Busy),
            (None, _) => ProblemCode::Proxy,
        };
        Self { code, title: refusal.to_string(), after: refusal.retry_after }
    }
}

/// The code behind a status of a server of wire version 2 with a reason in plain text.
fn of_status(status: StatusCode, text: &str) -> ProblemCode {
    let first_word = text.split(|byte: char| !byte.is_ascii_lowercase()).next().unwrap_or_default();
    // The reasons of cores are codes, such as `busy` and `unserved`.
    let named = RefusalCode::parse(first_word).filter(|code| code.status() == status.as_u16());
    let code = match status.as_u16() {
        400 => RefusalCode::Frame,
        403 => RefusalCode::Origin,
        404 | 421 => RefusalCode::Service,
        413 => RefusalCode::TooLarge,
        429 => RefusalCode::Busy,
        503 if text.contains("draining") => RefusalCode::Draining,
        503 if text.contains("overloaded") || text.contains("too many") => RefusalCode::Busy,
        503 if text.contains("no application") => RefusalCode::Unserved,
        500 | 503 => RefusalCode::Unavailable,
        // 426 among them: every request for a WebSocket leaves this client with `Upgrade`.
        _ => return ProblemCode::Proxy,
    };
    ProblemCode::Refused(named.unwrap_or(code))
}

fn close_code(code: u16) -> ProblemCode {
    let refused = match code {
        1001 | 1012 => RefusalCode::Draining,
        1002 | 1003 | 1007 => RefusalCode::Frame,
        1009 => RefusalCode::TooLarge,
        1011 | 1013 => RefusalCode::Unavailable,
        code => {
            let status = code.checked_sub(CLOSE_CODE);
            let status = status.and_then(|status| StatusCode::from_u16(status).ok());
            return status.map_or(ProblemCode::Network, |status| of_status(status, ""));
        }
    };
    ProblemCode::Refused(refused)
}

fn of_websocket(error: &WebSocketError) -> ProblemCode {
    if matches!(error, WebSocketError::Protocol(_) | WebSocketError::HttpFormat(_)) {
        ProblemCode::Proxy
    } else if matches!(error, WebSocketError::Capacity(_) | WebSocketError::Utf8(_)) {
        ProblemCode::Refused(RefusalCode::Frame)
    } else {
        ProblemCode::Network
    }
}

#[cfg(test)]
mod tests;

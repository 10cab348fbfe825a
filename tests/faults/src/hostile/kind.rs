//! The kinds of hostile clients, and the memory that the documented limits grant to each.

use serde::{Deserialize, Serialize};

/// Behaviour of a hostile client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Kind {
    /// Sends a request head byte by byte.
    SlowHead,
    /// Stops within a WebSocket frame of 1 MiB.
    UnfinishedFrame,
    /// Stops within a request body.
    UnfinishedBody,
    /// Sends a hello beyond the limit.
    LongHello,
    /// Sends random bytes.
    Garbage,
    /// Sends a TLS handshake to a port without TLS.
    TlsBytes,
    /// Requests streams that do not exist.
    UnknownStream,
    /// Replaces the transport of its stream again and again.
    Takeover,
    /// Sends 1 MB behind a gap.
    Gap,
    /// Never reads the messages of a fast application.
    NeverReads,
    /// Creates a stream and disconnects.
    Churn,
    /// Sends frames that violate the protocol.
    InvalidFrame,
    /// Requests a service that does not exist.
    UnservedService,
    /// Sends a request head beyond the limits.
    HeaderStorm,
}

impl Kind {
    pub(crate) const ALL: [Self; 14] = [
        Self::SlowHead,
        Self::UnfinishedFrame,
        Self::UnfinishedBody,
        Self::LongHello,
        Self::Garbage,
        Self::TlsBytes,
        Self::UnknownStream,
        Self::Takeover,
        Self::Gap,
        Self::NeverReads,
        Self::Churn,
        Self::InvalidFrame,
        Self::UnservedService,
        Self::HeaderStorm,
    ];

    /// The kind of a client; clients take the kinds in turn.
    pub(crate) fn of(client: usize) -> Self {
        Self::ALL[client % Self::ALL.len()]
    }

    /// Number of this kind among `clients` clients.
    pub(crate) fn count(self, clients: usize) -> usize {
        (0..clients).filter(|client| Self::of(*client) == self).count()
    }

    /// Bytes at an edge, beyond the figure of an open connection: the uncharged part of an unfinished frame or hello, or
    /// the output of a client that does not read.
    pub(crate) fn edge_bytes(self) -> u64 {
        match self {
            Self::UnfinishedFrame | Self::UnfinishedBody => 64 << 10,
            Self::LongHello => 128 << 10,
            Self::NeverReads => 512 << 10,
            Self::SlowHead
            | Self::Garbage
            | Self::TlsBytes
            | Self::UnknownStream
            | Self::Takeover
            | Self::Gap
            | Self::Churn
            | Self::InvalidFrame
            | Self::UnservedService
            | Self::HeaderStorm => 16 << 10,
        }
    }

    /// Bytes of one stream at a core: messages behind a gap, or the outbox.
    pub(crate) fn stream_bytes(self) -> u64 {
        if matches!(self, Self::Gap | Self::NeverReads) { 1 << 20 } else { 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_are_distributed_over_all_kinds() {
        let counts: Vec<usize> = Kind::ALL.iter().map(|kind| kind.count(30)).collect();
        assert_eq!(counts.iter().sum::<usize>(), 30);
        assert!(counts.iter().all(|count| *count == 2 || *count == 3));
    }
}

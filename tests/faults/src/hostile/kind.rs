//! The kinds of hostile clients, and the memory that the documented limits grant to each.

use clap::ValueEnum as _;
use serde::{Deserialize, Serialize};

/// Behaviour of a hostile client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, clap::ValueEnum)]
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
    /// The value of the option.
    pub(crate) fn name(self) -> String {
        self.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
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

/// The kinds of an attack; clients take them in turn.
#[derive(Debug, Clone)]
pub(crate) struct Kinds(Vec<Kind>);

impl Kinds {
    /// The given kinds, or all if none is given.
    pub(crate) fn new(given: &[Kind]) -> Self {
        Self(if given.is_empty() { Kind::value_variants() } else { given }.to_vec())
    }

    pub(crate) fn each(&self) -> &[Kind] {
        &self.0
    }

    /// The place of a client's kind.
    pub(crate) fn place_of(&self, client: usize) -> usize {
        client % self.0.len()
    }

    /// Number of clients of one kind among `clients` clients.
    pub(crate) fn count(&self, kind: Kind, clients: usize) -> usize {
        (0..clients).filter(|client| self.0[self.place_of(*client)] == kind).count()
    }

    /// Sum of the figure of each of `clients` clients.
    pub(crate) fn sum(&self, clients: usize, figure: impl Fn(Kind) -> u64) -> u64 {
        self.0.iter().map(|kind| figure(*kind) * self.count(*kind, clients) as u64).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_are_distributed_over_all_kinds() {
        let kinds = Kinds::new(&[]);
        let counts: Vec<usize> = kinds.each().iter().map(|kind| kinds.count(*kind, 30)).collect();
        assert_eq!(counts.iter().sum::<usize>(), 30);
        assert!(counts.iter().all(|count| *count == 2 || *count == 3));
    }

    #[test]
    fn only_given_kinds_take_part() {
        let kinds = Kinds::new(&[Kind::Gap]);
        assert_eq!((kinds.count(Kind::Gap, 30), kinds.count(Kind::Churn, 30)), (30, 0));
        assert_eq!(kinds.sum(30, Kind::stream_bytes), 30 << 20);
    }
}

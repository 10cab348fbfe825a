//! Choice of the next address and kind of transport after failures: all addresses first, then the next kind. Pure;
//! called by the stream machine.

use crate::config::{Config, TransportKind};

#[derive(Debug)]
pub(super) struct TransportRanking {
    /// Number of addresses; at least one.
    servers: usize,
    /// Index of the address in use.
    server: usize,
    /// Kinds of transport by preference.
    kinds: Vec<TransportKind>,
    /// Consecutive failed primaries of the current kind.
    failures: usize,
}

impl TransportRanking {
    pub(super) fn new(config: &Config) -> Self {
        let mut kinds = vec![config.transport];
        for kind in &config.fallbacks {
            if !kinds.contains(kind) {
                kinds.push(*kind);
            }
        }
        Self { servers: config.addresses().count().max(1), server: 0, kinds, failures: 0 }
    }

    pub(super) fn server(&self) -> usize {
        self.server
    }

    /// Number of attempts until every address was tried with every kind.
    pub(super) fn round(&self) -> usize {
        self.servers * self.kinds.len()
    }

    /// Records that the current address and kind work.
    pub(super) fn on_success(&mut self) {
        self.failures = 0;
    }

    /// Records a failed primary of this kind and returns the next kind to try. A kind that is not configured ranks
    /// before the first.
    pub(super) fn on_failure(&mut self, kind: TransportKind) -> TransportKind {
        self.server = (self.server + 1) % self.servers;
        self.failures += 1;
        if self.failures < self.servers {
            return kind;
        }
        self.failures = 0;
        let next = self.kinds.iter().position(|other| *other == kind).map_or(0, |rank| rank + 1);
        self.kinds.get(next).or(self.kinds.first()).copied().unwrap_or(kind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use TransportKind::{HttpStream, LongPoll, Tcp, WebSocket};

    fn route(address: &str, fallbacks: &[TransportKind]) -> TransportRanking {
        let mut config = Config::new(address, WebSocket);
        config.fallbacks = fallbacks.to_vec();
        TransportRanking::new(&config)
    }

    #[test]
    fn all_addresses_are_tried_before_the_next_kind() {
        let mut route = route("a:1, b:1", &[HttpStream, WebSocket, LongPoll]);
        let mut kind = WebSocket;
        let tried: Vec<_> = (0..7)
            .map(|_| {
                let now = (kind, route.server());
                kind = route.on_failure(kind);
                now
            })
            .collect();
        let [ws, http, poll] = [WebSocket, HttpStream, LongPoll].map(|k| [(k, 0), (k, 1)]);
        assert_eq!(tried, [ws, http, poll, ws].concat()[..7]);
    }

    #[test]
    fn a_success_resets_the_failures() {
        let mut route = route("a:1,b:1", &[LongPoll]);
        assert_eq!((route.on_failure(WebSocket), route.server()), (WebSocket, 1));
        route.on_success();
        assert_eq!((route.on_failure(WebSocket), route.server()), (WebSocket, 0));
        assert_eq!((route.on_failure(WebSocket), route.server()), (LongPoll, 1));
        // A kind chosen by `switch`.
        let mut route = self::route("a:1", &[]);
        assert_eq!((route.on_failure(Tcp), route.server()), (WebSocket, 0));
        assert_eq!(route.on_failure(WebSocket), WebSocket);
    }
}

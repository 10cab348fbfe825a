//! Which server to go to next and over what: the addresses in turn, then the next kind of transport. Pure; called by
//! the stream machine only.

use crate::config::{Config, TransportKind};

#[derive(Debug)]
pub(super) struct Route {
    /// How many addresses there are; at least one.
    servers: usize,
    /// The one in use.
    server: usize,
    /// The kinds of transport, the best first.
    kinds: Vec<TransportKind>,
    /// Primaries that came to nothing, in a row, with this kind.
    failures: usize,
}

impl Route {
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

    /// What is in use works.
    pub(super) fn on_success(&mut self) {
        self.failures = 0;
    }

    /// A primary of this kind came to nothing. Gives the kind to try next; one that is not among those
    /// configured stands before the first.
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

    fn route(address: &str, fallbacks: &[TransportKind]) -> Route {
        let mut config = Config::new(address, WebSocket);
        config.fallbacks = fallbacks.to_vec();
        Route::new(&config)
    }

    #[test]
    fn all_addresses_then_the_next_kind_and_round_again() {
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
    fn what_works_is_kept() {
        let mut route = route("a:1,b:1", &[LongPoll]);
        assert_eq!((route.on_failure(WebSocket), route.server()), (WebSocket, 1));
        route.on_success();
        assert_eq!((route.on_failure(WebSocket), route.server()), (WebSocket, 0));
        assert_eq!((route.on_failure(WebSocket), route.server()), (LongPoll, 1));
        // Chosen by hand.
        let mut route = self::route("a:1", &[]);
        assert_eq!((route.on_failure(Tcp), route.server()), (WebSocket, 0));
        assert_eq!(route.on_failure(WebSocket), WebSocket);
    }
}

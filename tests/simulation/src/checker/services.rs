//! Checks that no stream is created for a service that has never registered, once the time for its return has passed.

use minerva_proto::StreamNumber;

use super::Checker;
use crate::clock::Time;

/// Time from a claim in which the services may register again, and a bound of the delays before an append, in
/// milliseconds. A service that starts late does so before the first fault.
const RETURN: Time = 5_000 + 500;

impl Checker {
    /// An instance registers with a core.
    pub(crate) fn on_registered(&mut self, service: &str) {
        self.registered.insert(service.to_owned());
    }

    /// An owner has claimed a partition.
    pub(crate) fn on_claimed(&mut self, partition: u32, now: Time) {
        self.claimed.insert(partition, now);
    }

    /// An owner has appended the creation of streams.
    pub(crate) fn check_created(&mut self, partition: u32, created: &[StreamNumber], now: Time) {
        let is_late = self.claimed.get(&partition).is_some_and(|claimed| now > claimed + RETURN);
        for number in created.iter().filter(|_| is_late) {
            let service = self.durable.stream(*number).map(|stream| stream.service.clone());
            if let Some(service) = service.filter(|service| !self.registered.contains(service)) {
                let text =
                    format!("stream {number} is created for {service}, which never registered");
                self.violation(text);
            }
        }
    }
}

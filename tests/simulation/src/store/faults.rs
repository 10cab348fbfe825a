//! Faults of store calls: slow calls, errors, lost replies, and cores that the network separates from the store.

use std::collections::BTreeMap;

use crate::clock::Time;
use crate::network::Network;

/// Range of the response timeout of an isolated core, in milliseconds.
const TIMEOUT: (Time, Time) = (200, 3000);

/// The present faults.
#[derive(Debug, Default)]
pub(super) struct StoreFaults {
    slow_until: Time,
    unavailable_until: Time,
    replies_lost_until: Time,
    full_until: Time,
    /// The next checkpoint call is lost after its reply.
    loses_checkpoint: bool,
    /// By core.
    isolated: BTreeMap<usize, Isolation>,
}

/// A core without a connection to the store.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Isolation {
    pub(crate) until: Time,
    /// Whether the calls take effect after the end; they are lost otherwise.
    pub(crate) delivers: bool,
}

/// Treatment of a call.
pub(super) enum Disposition {
    Perform,
    /// Takes no effect; the caller receives an error with unknown outcome at this time.
    Lost {
        gives_up: Time,
    },
    /// Takes effect; the caller receives an error with unknown outcome, possibly before.
    ReplyLost,
    /// Takes effect after `from`; the caller receives an error at the other time.
    Late {
        from: Time,
        gives_up: Time,
    },
}

impl StoreFaults {
    pub(super) fn slow_down(&mut self, until: Time) {
        self.slow_until = until;
    }

    pub(super) fn fail_until(&mut self, until: Time) {
        self.unavailable_until = until;
    }

    pub(super) fn lose_replies_until(&mut self, until: Time) {
        self.replies_lost_until = until;
    }

    pub(super) fn fill_until(&mut self, until: Time) {
        self.full_until = until;
    }

    /// Returns true if the store has no memory for an append.
    pub(super) fn is_full(&self, now: Time) -> bool {
        now < self.full_until
    }

    pub(super) fn lose_next_checkpoint(&mut self) {
        self.loses_checkpoint = true;
    }

    /// Returns true once after [`StoreFaults::lose_next_checkpoint`].
    pub(super) fn take_lost_checkpoint(&mut self) -> bool {
        std::mem::take(&mut self.loses_checkpoint)
    }

    pub(super) fn isolate(&mut self, core: usize, isolation: Isolation) {
        self.isolated.insert(core, isolation);
    }

    /// Extra delay of a call.
    pub(super) fn extra_delay(&self, net: &mut Network) -> Option<Time> {
        (net.now < self.slow_until).then(|| net.random.between(20, 900))
    }

    /// Treatment of a call; `delay` is its usual duration.
    pub(super) fn disposition(&self, core: usize, delay: Time, net: &mut Network) -> Disposition {
        if let Some(isolation) = self.isolated.get(&core).filter(|one| net.now < one.until) {
            let gives_up = net.now + net.random.between(TIMEOUT.0, TIMEOUT.1);
            return if isolation.delivers {
                Disposition::Late { from: isolation.until, gives_up }
            } else {
                Disposition::Lost { gives_up }
            };
        }
        if net.now < self.unavailable_until && net.random.percent(80) {
            Disposition::Lost { gives_up: net.now + delay }
        } else if net.now < self.replies_lost_until && net.random.percent(50) {
            Disposition::ReplyLost
        } else {
            Disposition::Perform
        }
    }
}

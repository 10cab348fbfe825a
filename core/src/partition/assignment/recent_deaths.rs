//! Deaths of app instances by service. Shortly after an instance that has not returned, the next one will not return
//! either.
//!
//! Used by the assignment. Pure.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::super::mailbox::SessionHandle;
use super::MAX_SERVICES;
use crate::stream::Millis;

/// Time after a death in which the streams of another dead instance do not wait for their instance.
const RECENT_MS: u64 = 120_000;

/// Deaths closer together have one cause, such as a proxy that restarts: a stream does not reach its second instance in
/// less. The default of `--app-crash-grace`.
const TOGETHER_MS: u64 = 400;

/// The last death of an instance of each service; at most [`MAX_SERVICES`].
#[derive(Default)]
pub(super) struct RecentDeaths(BTreeMap<Arc<str>, Death>);

struct Death {
    instance_id: Arc<str>,
    at: Millis,
}

impl RecentDeaths {
    /// The call of an instance broke off. Returns true if another one has broken off lately, but not at the same time, and
    /// that instance has not returned with its streams.
    pub(super) fn on_died(
        &mut self,
        service: &Arc<str>,
        instance_id: &Arc<str>,
        now: Millis,
    ) -> bool {
        let earlier = self.0.get(service);
        let is_repeated = earlier.is_some_and(|death| {
            death.at.after(TOGETHER_MS) <= now && now < death.at.after(RECENT_MS)
        });
        if earlier.is_some() || self.0.len() < MAX_SERVICES {
            let death = Death { instance_id: instance_id.clone(), at: now };
            self.0.insert(service.clone(), death);
        }
        is_repeated
    }

    /// An instance has joined. If it holds streams, its process has lived on.
    pub(super) fn on_joined(&mut self, handle: &SessionHandle) {
        let is_same = |death: &Death| death.instance_id == handle.instance_id;
        if handle.has_returned && self.0.get(&handle.service).is_some_and(is_same) {
            self.0.remove(&handle.service);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::partition::{SuspectSlot, output_channel};
    use crate::stream::SessionId;

    fn session(instance_id: &Arc<str>, has_returned: bool) -> SessionHandle {
        SessionHandle {
            id: SessionId(1),
            service: "s".into(),
            instance_id: instance_id.clone(),
            window: 1,
            load: Arc::default(),
            has_kinds: false,
            has_returned,
            suspect: SuspectSlot::default(),
            outputs: output_channel().0,
        }
    }

    #[test]
    fn a_death_is_repeated_for_two_minutes_unless_the_instance_returns() {
        let (mut deaths, service, one, two) =
            (RecentDeaths::default(), "s".into(), "one".into(), "two".into());
        assert!(!deaths.on_died(&service, &one, Millis(0)));
        assert!(!deaths.on_died(&"other".into(), &one, Millis(0)));
        deaths.on_joined(&session(&two, true));
        deaths.on_joined(&session(&one, false));
        assert!(deaths.on_died(&service, &two, Millis(RECENT_MS - 1)));
        deaths.on_joined(&session(&two, true));
        assert!(!deaths.on_died(&service, &one, Millis(RECENT_MS)));
        assert!(!deaths.on_died(&service, &one, Millis(2 * RECENT_MS)));
    }

    #[test]
    fn deaths_at_the_same_time_are_not_repeated() {
        for (ms, is_repeated) in [(0, false), (399, false), (400, true), (401, true)] {
            let (mut deaths, service) = (RecentDeaths::default(), "s".into());
            assert!(!deaths.on_died(&service, &"one".into(), Millis(10)));
            assert_eq!(
                deaths.on_died(&service, &"two".into(), Millis(10 + ms)),
                is_repeated,
                "{ms}"
            );
        }
    }

    #[test]
    fn the_number_of_services_is_bounded() {
        let mut deaths = RecentDeaths::default();
        for number in 0..=MAX_SERVICES {
            deaths.on_died(&number.to_string().into(), &"one".into(), Millis(0));
        }
        assert_eq!(deaths.0.len(), MAX_SERVICES);
    }
}

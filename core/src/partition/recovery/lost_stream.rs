//! The state of a quarantined stream: ended with `state lost`, without messages.
//!
//! The state is an ordinary snapshot, so each later owner of the partition reports the loss as well, until the
//! application acknowledges the end or the retention time of ended streams has passed. If the service and the id of the
//! stream are unknown, a placeholder without a service stands for the number: no session can be assigned to the
//! placeholder, and the partition reports the loss to every session. Pure; used by the recovery and the partition.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use minerva_proto::{ClaimTag, Reset, StreamId, StreamNumber};

use crate::state::{Ended, EndedBy, Origin, Record, STATE_LOST, StreamProtocol, StreamState};

/// The state of the quarantined stream `number`; `known` is the state before the damage.
pub(crate) fn lost_state(number: StreamNumber, known: Option<&StreamState>) -> Option<StreamState> {
    let mut lost = match known {
        Some(known) => {
            StreamState::new(known.origin().clone(), known.max_idle_ms(), ClaimTag::UNKNOWN)
        }
        None => StreamState::new(placeholder_origin(number, 0)?, 0, ClaimTag::UNKNOWN),
    };
    let selected = known.map(StreamState::service).filter(|service| *service != lost.service());
    let selected = selected.map(|service| Record::ServiceSelected { service: service.clone() });
    let instance = known.and_then(StreamState::instance);
    let assigned =
        instance.map(|instance| Record::Assigned { instance: instance.clone(), redeliveries: 0 });
    for record in selected.into_iter().chain(assigned) {
        lost.apply(&record, ClaimTag::UNKNOWN).ok()?;
    }
    ended(lost)
}

/// Returns true for the state of a lost stream whose service and id are unknown.
pub(in crate::partition) fn is_placeholder(state: &StreamState) -> bool {
    // A hello has a service name of at least one character.
    state.origin().service.is_empty()
}

/// Dates the new placeholders, and removes those that are `keep_ms` old.
///
/// The deadline of an ended stream begins again with each owner, so a placeholder, which no application acknowledges,
/// needs a time of its own. Both times are those of the wall clock.
pub(in crate::partition) fn expire_placeholders(
    streams: &mut BTreeMap<StreamNumber, StreamState>,
    changed: &mut BTreeSet<StreamNumber>,
    now_ms: u64,
    keep_ms: u64,
) {
    streams.retain(|number, state| {
        if !is_placeholder(state) {
            return true;
        }
        let made_at = state.origin().started_at_ms;
        if (1..=now_ms).contains(&made_at) {
            let is_kept = now_ms - made_at < keep_ms;
            if !is_kept {
                changed.insert(*number);
            }
            return is_kept;
        }
        // Without a date, or the clock was set back.
        if let Some(dated) = placeholder_origin(*number, now_ms)
            .and_then(|origin| ended(StreamState::new(origin, 0, ClaimTag::UNKNOWN)))
        {
            *state = dated;
            changed.insert(*number);
        }
        true
    });
}

/// The state after the end with `state lost`.
fn ended(mut state: StreamState) -> Option<StreamState> {
    let reset = Reset::new(STATE_LOST, false);
    let ended = Record::Ended(Ended { reset, by: EndedBy::Core });
    state.apply(&ended, ClaimTag::UNKNOWN).ok()?;
    Some(state)
}

fn placeholder_origin(number: StreamNumber, made_at_ms: u64) -> Option<Arc<Origin>> {
    let origin = Origin {
        id: StreamId::parse(&format!("unreadable{number:020}")).ok()?,
        service: "".into(),
        credentials: String::new(),
        headers: Vec::new(),
        peer_address: String::new(),
        kind: None,
        started_at_ms: made_at_ms,
        protocol: StreamProtocol::V2,
    };
    Some(origin.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: u64 = 86_400_000;

    #[test]
    fn a_placeholder_expires_after_its_time_although_owners_change_daily() {
        let number = StreamNumber(7);
        let mut streams = BTreeMap::from([(number, lost_state(number, None).unwrap())]);
        let begin = 20_000 * DAY;
        let mut left = Vec::new();
        for day in 0..5 {
            let mut changed = BTreeSet::new();
            expire_placeholders(&mut streams, &mut changed, begin + day * DAY, 3 * DAY);
            left.push((streams.len(), changed.len()));
            assert!(streams.values().all(|state| is_placeholder(state) && state.is_ended()));
        }
        let (dated, kept, removed, gone) = ((1, 1), (1, 0), (0, 1), (0, 0));
        assert_eq!(left, [dated, kept, kept, removed, gone]);
    }

    #[test]
    fn a_placeholder_is_dated_again_after_a_step_of_the_clock_and_other_streams_are_kept() {
        let number = StreamNumber(7);
        let placeholder = lost_state(number, None).unwrap();
        let origin = crate::partition::tests::hello_origin();
        let known = StreamState::new(origin, 0, ClaimTag::UNKNOWN);
        let lost = lost_state(number, Some(&known)).unwrap();
        let mut streams = BTreeMap::from([(number, placeholder), (StreamNumber(8), lost)]);
        for now in [10 * DAY, 5 * DAY] {
            let mut changed = BTreeSet::new();
            expire_placeholders(&mut streams, &mut changed, now, DAY);
            assert_eq!(streams[&number].origin().started_at_ms, now);
            assert_eq!((streams.len(), changed), (2, BTreeSet::from([number])));
        }
    }
}

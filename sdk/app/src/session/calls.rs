//! The calls of an instance, at most one per core: which streams have commands ready, and which core's claim
//! to a partition is current. Tracks epochs, no stream state. Pure; used by the session only.
//!
//! Two cores may both claim a partition: the new owner, and a former owner whose events were in flight. The
//! higher epoch wins, and events under a lower epoch are ignored. If the call with the higher epoch is lost,
//! a late event and a store rollback cannot be distinguished: the call with the lower epoch is ended, and a
//! new call settles the owner. The same applies if the call with the higher epoch leaves the partition.

use std::collections::{BTreeMap, VecDeque};

use minerva_proto::app::Registered;
use minerva_proto::{Feature, Features, MAX_MESSAGE, StreamNumber};

use super::error::ContractError;

/// Identifies a call; never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct CallId(u64);

/// A partition: the upper 16 bits of a stream number.
pub(super) type Partition = u16;

/// The open calls of one instance.
#[derive(Debug, Default)]
pub(super) struct Calls {
    live: BTreeMap<CallId, CallState>,
    begun: u64,
}

/// Limits and features of a core, from its registration.
#[derive(Debug, Clone, Copy)]
pub(super) struct CoreTraits {
    /// Longest message that the core accepts, in bytes.
    pub(super) max_message: usize,
    /// Default outbox limit of a stream, in messages.
    pub(super) outbox_messages: u32,
    /// Whether the core executes Finish.
    pub(super) has_finish: bool,
    /// Whether the core answers Sync.
    pub(super) has_sync: bool,
    /// Whether messages have kinds.
    pub(super) has_kinds: bool,
}

impl Default for CoreTraits {
    fn default() -> Self {
        let (max_message, outbox_messages) = (MAX_MESSAGE, u32::MAX);
        let (has_finish, has_sync, has_kinds) = (false, false, false);
        Self { max_message, outbox_messages, has_finish, has_sync, has_kinds }
    }
}

/// One open call.
#[derive(Debug)]
struct CallState {
    registered: bool,
    traits: CoreTraits,
    /// Attached streams with commands ready. A stream that has moved to another call is skipped.
    ready: VecDeque<StreamNumber>,
    /// The epoch of the last claim on this call, per partition that the core claims to own.
    announced: BTreeMap<Partition, u64>,
    /// Per partition, the highest epoch announced by other calls, before or after this call began.
    competing: BTreeMap<Partition, u64>,
    /// Epochs of the ignored claims on this call: another call had announced a higher one.
    ignored: BTreeMap<Partition, u64>,
}

impl Calls {
    /// Begins a call.
    pub(super) fn begin(&mut self) -> CallId {
        let mut competing = BTreeMap::new();
        for (&partition, &epoch) in self.live.values().flat_map(|call| &call.announced) {
            raise(&mut competing, partition, epoch);
        }
        let id = CallId(self.begun);
        self.begun += 1;
        let call = CallState {
            registered: false,
            traits: CoreTraits::default(),
            ready: VecDeque::new(),
            announced: BTreeMap::new(),
            competing,
            ignored: BTreeMap::new(),
        };
        self.live.insert(id, call);
        id
    }

    pub(super) fn end(&mut self, id: CallId) {
        self.live.remove(&id);
    }

    pub(super) fn on_registered(&mut self, id: CallId, registered: &Registered) {
        if let Some(call) = self.live.get_mut(&id) {
            call.registered = true;
            let features = Features::from_names(&registered.features);
            call.traits = CoreTraits {
                max_message: (registered.max_message_bytes as usize).min(MAX_MESSAGE),
                outbox_messages: registered.outbox_messages,
                has_finish: features.contains(Feature::Finish),
                has_sync: features.contains(Feature::Sync),
                has_kinds: features.contains(Feature::MessageKinds),
            };
        }
    }

    pub(super) fn is_registered(&self, id: CallId) -> bool {
        self.live.get(&id).is_some_and(|call| call.registered)
    }

    pub(super) fn traits(&self, id: CallId) -> CoreTraits {
        self.live.get(&id).map(|call| call.traits).unwrap_or_default()
    }

    /// Applies a claim: the core of this call owns a partition under this epoch. Returns whether the claim is
    /// current.
    ///
    /// # Errors
    /// If a call that is lost by now has announced a higher epoch.
    pub(super) fn on_announced(
        &mut self,
        id: CallId,
        partition: Partition,
        epoch: u64,
    ) -> Result<bool, ContractError> {
        let Some(call) = self.live.get_mut(&id) else { return Ok(false) };
        if call.competing.get(&partition).is_some_and(|&higher| epoch < higher) {
            call.ignored.insert(partition, epoch);
            return match self.is_announced_above(partition, epoch) {
                true => Ok(false),
                false => Err(ContractError::StaleEpoch),
            };
        }
        call.ignored.remove(&partition);
        let before = call.announced.insert(partition, epoch);
        // The claims of one core arrive in order, so a falling epoch means a store rollback.
        let fell = before.is_some_and(|before| epoch < before);
        for (_, other) in self.live.iter_mut().filter(|(other, _)| **other != id) {
            if fell {
                other.competing.insert(partition, epoch);
            } else {
                raise(&mut other.competing, partition, epoch);
            }
        }
        Ok(true)
    }

    /// The core of this call has left a partition.
    pub(super) fn on_left(&mut self, id: CallId, left: Partition) {
        if let Some(call) = self.live.get_mut(&id) {
            call.announced.remove(&left);
            call.ignored.remove(&left);
            call.ready.retain(|&stream| stream.partition() != left);
        }
    }

    /// Calls with an ignored claim that may be the current one, because no call announces a higher epoch any more.
    pub(super) fn unsettled(&self) -> Vec<CallId> {
        let is_unsettled = |call: &CallState| {
            call.ignored
                .iter()
                .any(|(&partition, &epoch)| !self.is_announced_above(partition, epoch))
        };
        self.live.iter().filter(|(_, call)| is_unsettled(call)).map(|(&id, _)| id).collect()
    }

    /// Whether another call has announced a higher epoch. Late events on this call are then expected.
    pub(super) fn is_stale(&self, id: CallId, partition: Partition) -> bool {
        self.live.get(&id).is_none_or(|call| {
            let announced = call.announced.get(&partition).copied().unwrap_or(0);
            call.competing.get(&partition).is_some_and(|&higher| announced < higher)
        })
    }

    /// Records that a stream has commands ready for this call.
    pub(super) fn push_ready(&mut self, id: CallId, stream: StreamNumber) {
        if let Some(call) = self.live.get_mut(&id) {
            call.ready.push_back(stream);
        }
    }

    /// Takes the next stream with commands ready, in turn.
    pub(super) fn pop_ready(&mut self, id: CallId) -> Option<StreamNumber> {
        self.live.get_mut(&id)?.ready.pop_front()
    }

    /// Whether a stream may have commands ready for this call.
    pub(super) fn has_ready(&self, id: CallId) -> bool {
        self.live.get(&id).is_some_and(|call| call.registered && !call.ready.is_empty())
    }

    fn is_announced_above(&self, partition: Partition, epoch: u64) -> bool {
        self.live
            .values()
            .any(|call| call.announced.get(&partition).is_some_and(|&announced| announced > epoch))
    }
}

fn raise(epochs: &mut BTreeMap<Partition, u64>, partition: Partition, epoch: u64) {
    let highest = epochs.entry(partition).or_default();
    *highest = epoch.max(*highest);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_is_current_under_an_equal_or_higher_epoch() {
        let mut calls = Calls::default();
        let (a, b) = (calls.begin(), calls.begin());
        assert_eq!(calls.on_announced(a, 1, 4), Ok(true));
        for (epoch, believed) in [(3, false), (4, true), (5, true)] {
            assert_eq!(calls.on_announced(b, 1, epoch), Ok(believed), "{epoch}");
        }
        assert!(calls.is_stale(a, 1) && !calls.is_stale(b, 1) && !calls.is_stale(a, 2));
        // The announced epochs also apply to calls that begin later.
        let c = calls.begin();
        assert_eq!(calls.on_announced(c, 1, 4), Ok(false));
    }

    #[test]
    fn a_stale_claim_ends_its_call_after_the_loss_of_the_newer_call() {
        let mut calls = Calls::default();
        let (a, b) = (calls.begin(), calls.begin());
        calls.on_announced(b, 1, 5).unwrap();
        calls.end(b);
        assert_eq!(calls.on_announced(a, 1, 4), Err(ContractError::StaleEpoch));
        calls.end(a);
        let again = calls.begin();
        assert_eq!(calls.on_announced(again, 1, 4), Ok(true));
    }

    /// After a rollback the earlier owner keeps its lower epoch, and announces the partition only once.
    #[test]
    fn an_ignored_claim_is_unsettled_when_the_higher_one_is_gone() {
        for is_left in [false, true] {
            let mut calls = Calls::default();
            let (a, b, c) = (calls.begin(), calls.begin(), calls.begin());
            calls.on_announced(b, 1, 6).unwrap();
            calls.on_announced(c, 1, 7).unwrap();
            assert_eq!(calls.on_announced(a, 1, 5), Ok(false));
            calls.on_left(c, 1);
            assert_eq!(calls.unsettled(), [], "the claim of b is higher");
            if is_left {
                calls.on_left(b, 1)
            } else {
                calls.end(b)
            }
            assert_eq!(calls.unsettled(), [a]);
            calls.end(a);
            let again = calls.begin();
            assert_eq!((calls.on_announced(again, 1, 5), calls.unsettled()), (Ok(true), vec![]));
        }
    }

    #[test]
    fn an_ignored_claim_that_was_withdrawn_or_replaced_is_settled() {
        for is_left in [false, true] {
            let mut calls = Calls::default();
            let (a, b) = (calls.begin(), calls.begin());
            calls.on_announced(b, 1, 6).unwrap();
            assert_eq!(calls.on_announced(a, 1, 5), Ok(false));
            if is_left {
                calls.on_left(a, 1)
            } else {
                let _ = calls.on_announced(a, 1, 7);
            }
            calls.on_left(b, 1);
            assert_eq!(calls.unsettled(), []);
        }
    }

    #[test]
    fn a_falling_epoch_after_a_rollback_is_accepted() {
        let mut calls = Calls::default();
        let (a, b) = (calls.begin(), calls.begin());
        calls.on_announced(a, 1, 9).unwrap();
        calls.on_announced(a, 1, 5).unwrap();
        calls.on_left(a, 1);
        assert_eq!(calls.on_announced(b, 1, 6), Ok(true));
    }
}

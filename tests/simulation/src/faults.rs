//! The kinds of faults and their counts in a run.

/// An injected fault or disturbance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// A client's connection breaks.
    CutClient,
    /// A link between an edge and a core breaks.
    CutLink,
    /// The call of an application instance breaks.
    CutApp,
    /// Data sent before a cut is lost.
    TailLost,
    /// One side of a connection notices a cut much later than the other.
    HalfOpen,
    /// Connections have independent extra delays, which reorder data of different connections.
    Delay,
    /// An edge crashes and restarts.
    EdgeCrash,
    /// An edge drains its clients and stops.
    EdgeDrain,
    /// A core crashes; another core takes over.
    CoreCrash,
    /// A core starts that permits only content of the first stored version.
    OldCore,
    /// An edge or an instance connects that lists no features.
    OldPeer,
    /// A core hands its partitions over.
    HandOver,
    /// All tasks of a core are suspended, then resumed.
    CorePause,
    /// An application instance crashes and restarts with another id.
    AppCrash,
    /// An application instance crashes and restarts with the same id.
    AppRestart,
    /// All application instances are down.
    AppAbsent,
    /// All instances of one service are down.
    ServiceAbsent,
    /// The store is slow.
    StoreSlow,
    /// The store returns errors.
    StoreUnavailable,
    /// A store call takes effect, but its reply is lost.
    StoreReplyLost,
    /// The store loses its last writes; the owners are alive.
    Rollback,
    /// The store loses its last writes, and the owners crash.
    RollbackDeath,
    /// Single partitions of the store lose their last writes; the owners are alive.
    PartitionRollback,
    /// Single partitions of the store lose their last writes, and their owners crash.
    PartitionRollbackDeath,
    /// The store loses one checkpoint call that trimmed the log, and nothing else; the owner is alive.
    LostCheckpoint,
    /// One core is cut off from the store; its calls are lost.
    StoreCutOff,
    /// One core is cut off from the store, and sometimes suspended; its calls arrive after the end.
    SplitBrain,
    /// The store has no memory for appends for up to 30 s.
    StoreFull,
    /// The instances of a service start late.
    ServiceLate,
    /// A late write of an earlier owner is fenced.
    FencedWrite,
    /// The wall clock of the store steps by up to some hours, sometimes with a dead owner.
    StoreClockStep,
    /// Blobs of a partition are damaged, and the owner crashes.
    BlobDamage,
    /// A client switches to another kind of transport.
    TransportSwitch,
    /// A client is offline.
    ClientOffline,
    /// The application of a client does not receive.
    ClientSlow,
    /// A client resets its stream.
    ClientResets,
    /// An application resets a stream.
    AppResets,
    /// An application finishes a stream.
    AppFinishes,
    /// A program outside the services resets a stream.
    CallerResets,
    /// A partition drops a call from outside; the outcome is unknown.
    CallInterrupted,
    /// The reply to a call from outside is lost.
    CallReplyLost,
    /// A stranger attaches with the id of a client and another key.
    KeyTheft,
}

impl Fault {
    /// All faults in declaration order.
    pub const ALL: [Self; 42] = [
        Self::CutClient,
        Self::CutLink,
        Self::CutApp,
        Self::TailLost,
        Self::HalfOpen,
        Self::Delay,
        Self::EdgeCrash,
        Self::EdgeDrain,
        Self::CoreCrash,
        Self::OldCore,
        Self::OldPeer,
        Self::HandOver,
        Self::CorePause,
        Self::AppCrash,
        Self::AppRestart,
        Self::AppAbsent,
        Self::ServiceAbsent,
        Self::StoreSlow,
        Self::StoreUnavailable,
        Self::StoreReplyLost,
        Self::Rollback,
        Self::RollbackDeath,
        Self::PartitionRollback,
        Self::PartitionRollbackDeath,
        Self::LostCheckpoint,
        Self::StoreCutOff,
        Self::SplitBrain,
        Self::StoreFull,
        Self::ServiceLate,
        Self::FencedWrite,
        Self::StoreClockStep,
        Self::BlobDamage,
        Self::TransportSwitch,
        Self::ClientOffline,
        Self::ClientSlow,
        Self::ClientResets,
        Self::AppResets,
        Self::AppFinishes,
        Self::CallerResets,
        Self::CallInterrupted,
        Self::CallReplyLost,
        Self::KeyTheft,
    ];

    pub(crate) fn is_rollback(self) -> bool {
        matches!(
            self,
            Self::Rollback
                | Self::RollbackDeath
                | Self::PartitionRollback
                | Self::PartitionRollbackDeath
                | Self::LostCheckpoint
        )
    }

    /// The name in tables: lower-case words.
    pub fn name(self) -> String {
        let name = format!("{self:?}");
        let mut words = String::new();
        for letter in name.chars() {
            if letter.is_uppercase() && !words.is_empty() {
                words.push(' ');
            }
            words.extend(letter.to_lowercase());
        }
        words
    }
}

/// Occurrences by fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Faults {
    counts: [u64; Fault::ALL.len()],
}

impl Default for Faults {
    fn default() -> Self {
        Self { counts: [0; Fault::ALL.len()] }
    }
}

impl Faults {
    pub(crate) fn fire(&mut self, fault: Fault) {
        self.counts[fault as usize] += 1;
    }

    /// Number of occurrences.
    pub fn count(&self, fault: Fault) -> u64 {
        self.counts[fault as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_lists_the_faults_in_declaration_order() {
        for (index, fault) in Fault::ALL.into_iter().enumerate() {
            assert_eq!(fault as usize, index);
        }
        assert_eq!(Fault::CutClient.name(), "cut client");
    }
}

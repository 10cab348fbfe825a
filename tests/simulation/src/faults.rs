//! The kinds of faults, and how often each fired in a run.

/// Something that goes wrong, or differently than usual.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// A client's connection breaks.
    CutClient,
    /// A link between an edge and a core breaks.
    CutLink,
    /// The call of an application instance breaks.
    CutApp,
    /// What was sent before a cut does not arrive.
    TailLost,
    /// One side of a connection notices a cut much later than the other.
    HalfOpen,
    /// Connections are slow for a while, each by itself: what goes over several is reordered.
    Delay,
    /// An edge dies and starts again.
    EdgeCrash,
    /// An edge asks its clients to move, and stops.
    EdgeDrain,
    /// A core dies; another one takes over.
    CoreCrash,
    /// A core hands its partitions over.
    HandOver,
    /// A core stands still for a while, and goes on as if nothing had happened.
    CorePause,
    /// An application instance dies and comes back under another name.
    AppCrash,
    /// An application instance dies and comes back under its name.
    AppRestart,
    /// There is no application instance for a while.
    AppAbsent,
    /// The store answers slowly.
    StoreSlow,
    /// The store answers that it is unavailable.
    StoreUnavailable,
    /// The store does something and the answer is lost.
    AnswerLost,
    /// The store forgets its last writes; the owner lives.
    Rollback,
    /// The store forgets its last writes, and the owners die.
    RollbackDeath,
    /// A client goes over to another transport.
    ClientMoves,
    /// A client has no connection for a while.
    ClientSilent,
    /// A client does not read for a while.
    ClientSlow,
    /// A client gives its stream up.
    ClientResets,
    /// An application ends a stream.
    AppResets,
    /// A partition drops a call from outside; nobody knows what was done.
    CallInterrupted,
    /// A call from outside is answered, and the answer is lost.
    CallUnheard,
}

impl Fault {
    /// All of them, in the order of their declaration.
    pub const ALL: [Self; 26] = [
        Self::CutClient,
        Self::CutLink,
        Self::CutApp,
        Self::TailLost,
        Self::HalfOpen,
        Self::Delay,
        Self::EdgeCrash,
        Self::EdgeDrain,
        Self::CoreCrash,
        Self::HandOver,
        Self::CorePause,
        Self::AppCrash,
        Self::AppRestart,
        Self::AppAbsent,
        Self::StoreSlow,
        Self::StoreUnavailable,
        Self::AnswerLost,
        Self::Rollback,
        Self::RollbackDeath,
        Self::ClientMoves,
        Self::ClientSilent,
        Self::ClientSlow,
        Self::ClientResets,
        Self::AppResets,
        Self::CallInterrupted,
        Self::CallUnheard,
    ];

    /// Its name in tables.
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

/// How often each kind fired.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Faults {
    counts: [u64; Fault::ALL.len()],
}

impl Faults {
    /// One fired.
    pub(crate) fn fire(&mut self, fault: Fault) {
        self.counts[fault as usize] += 1;
    }

    /// How often it fired.
    pub fn count(&self, fault: Fault) -> u64 {
        self.counts[fault as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_are_listed_in_order() {
        for (index, fault) in Fault::ALL.into_iter().enumerate() {
            assert_eq!(fault as usize, index);
        }
        assert_eq!(Fault::CutClient.name(), "cut client");
    }
}

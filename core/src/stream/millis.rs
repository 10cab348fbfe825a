//! Time of the stream machines.

/// Milliseconds of the clock for deadlines.
///
/// This clock only moves forward, and a pause of the process counts for at most 10 s. No instant is persisted: all
/// deadlines restart with a new owner.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Millis(pub u64);

impl Millis {
    /// The instant `ms` milliseconds later; saturates.
    #[must_use]
    pub(crate) fn after(self, ms: u64) -> Self {
        Self(self.0.saturating_add(ms))
    }
}

//! Defects that can be planted, to show that the simulation (`tests/simulation`) finds such. Without the
//! feature `planted-bugs` none is there, and the questions for them cost nothing.

/// One defect; each is asked for where it would be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bug {
    /// Core: what a turn says is let out before its records are stored.
    OpenGate,
    /// Store: an owner of an older epoch may write.
    StaleEpochAccepted,
    /// Core: s2c strings get other numbers when the stream comes from a checkpoint.
    RenumberAtRestore,
    /// Core: the first event in the inbox is forgotten when the stream comes from a checkpoint.
    ForgetInboxEntry,
    /// Core: a SACK names one string too many.
    SackTooHigh,
    /// Core: strings for the client that are in the log are applied twice when the stream is brought back.
    ApplyTwice,
    /// Core: a new transport goes on behind what was written before, not at what is unacknowledged.
    ForgetUnacked,
    /// Edge: batches that were not taken when the link was lost are dropped.
    DropUntaken,
    /// Core: c2s strings that were there before are taken again.
    TakeDuplicates,
    /// Core: a checkpoint trims one entry of the log more than it covers.
    TrimTooMuch,
    /// App SDK: an acknowledgement does not wait for what was sent before it.
    AcknowledgeBeforeSends,
    /// Client: a string behind a gap is delivered at once.
    DeliverBehindGap,
    /// Core: a partition is given back before what is under way is finished.
    ReleaseTooEarly,
    /// Core: streams that come from the store are not found by their ids.
    ForgetIds,
    /// Client: a new transport goes on behind what was written to the one before.
    ForgetToSendAgain,
    /// App SDK: events that were seen before are given to the handler again.
    RepeatEvents,
    /// App SDK: sends that were not confirmed are not sent again on a new call.
    ForgetSends,
    /// Edge: a transport that is attached again says that it wrote one string more than it did.
    ResumeTooFar,
    /// Core: the end of a stream is forgotten when it comes from a checkpoint.
    ForgetEnd,
    /// Core: the keys of sends from outside are forgotten when the stream comes from a checkpoint.
    ForgetKeys,
    /// Core: strings from outside count in the numbers that the instance is told.
    CountPushed,
    /// Core: streams that come from the store are not found by their groups.
    ForgetGroups,
    /// Core: a send from outside that does not fit is taken in part.
    PushInPart,
    /// Core: a number that was given again after a loss is taken for what the client has.
    TrustNumbers,
}

impl Bug {
    /// All of them.
    pub const ALL: [Self; 24] = [
        Self::OpenGate,
        Self::StaleEpochAccepted,
        Self::RenumberAtRestore,
        Self::ForgetInboxEntry,
        Self::SackTooHigh,
        Self::ApplyTwice,
        Self::ForgetUnacked,
        Self::DropUntaken,
        Self::TakeDuplicates,
        Self::TrimTooMuch,
        Self::AcknowledgeBeforeSends,
        Self::DeliverBehindGap,
        Self::ReleaseTooEarly,
        Self::ForgetIds,
        Self::ForgetToSendAgain,
        Self::RepeatEvents,
        Self::ForgetSends,
        Self::ResumeTooFar,
        Self::ForgetEnd,
        Self::ForgetKeys,
        Self::CountPushed,
        Self::ForgetGroups,
        Self::PushInPart,
        Self::TrustNumbers,
    ];
}

#[cfg(feature = "planted-bugs")]
thread_local! {
    static PLANTED: std::cell::Cell<Option<Bug>> = const { std::cell::Cell::new(None) };
}

/// Plants a defect in all that this thread does, or none.
#[cfg(feature = "planted-bugs")]
pub fn plant(bug: Option<Bug>) {
    PLANTED.set(bug);
}

/// Whether a defect is planted.
#[cfg(feature = "planted-bugs")]
#[inline]
pub fn is(bug: Bug) -> bool {
    PLANTED.get() == Some(bug)
}

/// Whether a defect is planted: none is.
#[cfg(not(feature = "planted-bugs"))]
#[inline]
pub const fn is(_bug: Bug) -> bool {
    false
}

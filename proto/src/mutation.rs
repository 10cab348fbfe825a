//! Mutations: defects that the simulation (`tests/simulation`) activates to show that it detects them.
//! Product code calls [`is`] at each defect. Without the feature `mutations`, [`is`] is a constant
//! `false`, and the branches are compiled out.

/// A defect that can be activated; the variant names the crate that contains it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mutation {
    /// Core: a turn releases outputs before the records of this turn are durable.
    OpenGate,
    /// Store: an append with the epoch of an earlier owner succeeds.
    StaleEpochAccepted,
    /// Core: a checkpoint restores s2c messages under shifted numbers.
    RenumberAtRestore,
    /// Core: a checkpoint restores the inbox without the first event.
    ForgetInboxEntry,
    /// Core: a SACK acknowledges one message too many.
    SackTooHigh,
    /// Core: recovery applies each `Sent` record of the log twice.
    ApplyTwice,
    /// Core: a new transport starts behind the last written message, not at the first unacknowledged one.
    ForgetUnacked,
    /// Edge: a lost link drops all unconfirmed batches.
    DropUntaken,
    /// Core: a duplicate c2s message is accepted.
    TakeDuplicates,
    /// Core: a checkpoint trims one log entry more than it covers.
    TrimTooMuch,
    /// App SDK: an acknowledgement overtakes the sends before it.
    AcknowledgeBeforeSends,
    /// Client: a message behind a gap is delivered at once.
    DeliverBehindGap,
    /// Core: a partition is released while writes are in flight.
    ReleaseTooEarly,
    /// Core: the id index misses recovered streams.
    ForgetIds,
    /// Client: a new transport starts behind the last message written to the previous one.
    ForgetToSendAgain,
    /// App SDK: the handler gets a repeated event a second time.
    RepeatEvents,
    /// App SDK: a new call does not repeat unconfirmed sends.
    ForgetSends,
    /// Edge: a resumed transport reports one written message too many.
    ResumeTooFar,
    /// Core: a checkpoint restores an ended stream as open.
    ForgetEnd,
    /// Core: a checkpoint restores a stream without idempotency keys.
    ForgetKeys,
    /// Core: messages from API calls count in the numbers of the app instance.
    CountPushed,
    /// Core: the group index misses recovered streams.
    ForgetGroups,
    /// Core: an API send beyond the outbox limit is accepted in part.
    PushInPart,
    /// Core: an acknowledged number that was assigned again after a rollback counts as received.
    TrustNumbers,
    /// Core: recovery serves a stream of which a stored record is damaged.
    ServeDamaged,
    /// Core: recovery drops a quarantined stream, so that no peer receives `state lost`.
    ForgetQuarantined,
    /// Store: the end of a lease is believed although it is further away than the length of the lease.
    LeaseEndBelieved,
    /// Core: a message that an earlier owner numbered is sent with the claim tag of this owner.
    WrongClaimTag,
    /// Core: an append that the store fences counts as confirmed.
    FenceIgnored,
    /// Core: a hello that names the last received message proves a loss.
    ResetWithoutProof,
    /// Core: one damaged record quarantines every stream of the partition.
    QuarantineAll,
    /// Core: a stream is assigned to an instance of another service.
    MixServices,
    /// Core: the group index keeps a stream that has left the group.
    StayInGroup,
    /// Core: a checkpoint restores a stream without its label.
    ForgetLabel,
    /// Core: content of a stored version is written before every live core reads this version.
    WriteTooNew,
    /// Core: the claim tags in a hello are not compared.
    IgnoreHelloTags,
    /// Core: claim tags are sent to edges without the feature.
    SendUngated,
    /// Core: a checkpoint restores a stream without the claim tags of its numbers.
    ForgetTags,
    /// Core: recovery does not keep damaged blobs aside.
    DropDamaged,
    /// Store: a call of an owner succeeds although the store lacks state that the owner expects.
    IgnoreExpected,
    /// Core: a finished stream ends before the client has acknowledged all messages.
    FinishDropsTail,
    /// Core: the assignment of a stream to another instance does not count.
    ForgetMoves,
    /// Core: a heartbeat reports the newest stored version in place of the permitted one.
    ReportNewest,
    /// Core: the death of an instance is not counted at the streams in delivery.
    ForgetRedeliveries,
    /// Core: a timeout ends a stream although mail that cancels the timeout waits.
    IgnoreWaitingMail,
    /// Core: a stream is created for a service that has never registered.
    CreateUnserved,
    /// Core: of a resume key only the first byte is compared.
    ComparePrefix,
    /// Core: recovery restores binary messages as text.
    FlipKind,
    /// Client: the end of the transport that carried a reset confirms the reset.
    ForgetReset,
    /// Store: the end of a membership is believed although it is further away than the length of the membership.
    MemberEndBelieved,
    /// Core: the key of the partition hash is ignored.
    IgnoreHashKey,
}

impl Mutation {
    /// The mutations that the simulation must find, in the order of declaration.
    pub const ALL: [Self; 51] = [
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
        Self::ServeDamaged,
        Self::ForgetQuarantined,
        Self::LeaseEndBelieved,
        Self::WrongClaimTag,
        Self::FenceIgnored,
        Self::ResetWithoutProof,
        Self::QuarantineAll,
        Self::MixServices,
        Self::StayInGroup,
        Self::ForgetLabel,
        Self::WriteTooNew,
        Self::IgnoreHelloTags,
        Self::SendUngated,
        Self::ForgetTags,
        Self::DropDamaged,
        Self::IgnoreExpected,
        Self::FinishDropsTail,
        Self::ForgetMoves,
        Self::ReportNewest,
        Self::ForgetRedeliveries,
        Self::IgnoreWaitingMail,
        Self::CreateUnserved,
        Self::ComparePrefix,
        Self::FlipKind,
        Self::ForgetReset,
        Self::MemberEndBelieved,
        Self::IgnoreHashKey,
    ];
}

#[cfg(feature = "mutations")]
thread_local! {
    static ACTIVE: std::cell::Cell<Option<Mutation>> = const { std::cell::Cell::new(None) };
}

/// Activates a mutation in the calling thread, or deactivates the current one.
#[cfg(feature = "mutations")]
pub fn activate(mutation: Option<Mutation>) {
    ACTIVE.set(mutation);
}

/// Returns true if the mutation is active in the calling thread.
#[cfg(feature = "mutations")]
#[inline]
pub fn is(mutation: Mutation) -> bool {
    ACTIVE.get() == Some(mutation)
}

/// Returns false: this build has no mutations.
#[cfg(not(feature = "mutations"))]
#[inline]
pub const fn is(_mutation: Mutation) -> bool {
    false
}

//! The phases of the life of a service. Advanced by `shared`.

/// The life of a service.
///
/// ```text
///   Running ──stop()──> Draining ──flushed, or deadline──> Stopped
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    Running,
    /// No new streams and no reads; queued messages are flushed.
    Draining,
    /// All tasks have ended.
    Stopped,
}

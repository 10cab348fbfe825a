//! Limits of the acknowledged messages that the core retains for new generations of a client. Used by `Sender`.

use std::time::Duration;

use minerva_proto::app::SetLimits;

/// Most messages, bytes and time that a core accepts.
const MAX_MESSAGES: u32 = 10_000;
const MAX_BYTES: u32 = 2 << 20;
const MAX_AGE: Duration = Duration::from_secs(7 * 24 * 3600);

/// Messages that the client has acknowledged and that a reloaded page may request again. A limit of 0 retains none.
///
/// The core drops the oldest messages beyond a limit, and beyond its own budget (`--retained-bytes`).
///
/// ```no_run
/// # fn example(stream: &minerva_app::AppStream) {
/// use std::time::Duration;
///
/// use minerva_app::Retention;
///
/// let age = Duration::from_secs(6 * 3600);
/// stream.set_retention(Retention { messages: 500, bytes: 512 << 10, age, hold: false });
/// # }
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Retention {
    /// Number of messages, at most 10,000.
    pub messages: u32,
    /// Bytes of messages, at most 2 MiB.
    pub bytes: u32,
    /// Time since the acknowledgement, at most a week.
    pub age: Duration,
    /// Nothing is written to a new generation before its [`Event::Rejoined`](crate::Event::Rejoined) is acknowledged.
    pub hold: bool,
}

impl Retention {
    /// The limits, clamped to those that a core accepts.
    pub(crate) fn to_limits(self) -> SetLimits {
        let age_ms = u64::try_from(self.age.min(MAX_AGE).as_millis()).unwrap_or(u64::MAX);
        SetLimits {
            retained_messages: Some(self.messages.min(MAX_MESSAGES)),
            retained_bytes: Some(self.bytes.min(MAX_BYTES)),
            retained_age_ms: Some(age_ms),
            hold: Some(self.hold),
            ..SetLimits::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_clamped() {
        for excess in [0, 1] {
            let age = MAX_AGE + Duration::from_millis(excess);
            let (messages, bytes) = (MAX_MESSAGES + excess as u32, MAX_BYTES + excess as u32);
            let limits = Retention { messages, bytes, age, hold: true }.to_limits();
            assert_eq!(limits.retained_messages, Some(MAX_MESSAGES));
            assert_eq!(limits.retained_bytes, Some(MAX_BYTES));
            assert_eq!(limits.retained_age_ms, Some(604_800_000));
        }
        let none = Retention::default().to_limits();
        assert_eq!((none.retained_messages, none.hold), (Some(0), Some(false)));
    }
}

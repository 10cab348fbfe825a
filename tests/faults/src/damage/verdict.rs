//! The verdict on a stream after a round: what its client and the application received. Pure.

use super::application::Seen;

/// The fate of a stream in a round.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Verdict {
    /// Everything listed and the probe arrived at both ends.
    Intact,
    /// Ended with `state lost`, once on both sides.
    StateLost,
    /// Ended with `state lost` at the client. The application, a new instance, has not received the stream: the part
    /// that names the service is lost.
    Unassigned,
    /// The client received `stream_attach_failure`: nothing is left of the stream.
    Unknown,
    /// The core reports that the partition is unreadable.
    Refused,
    /// Messages that only the dead application had seen are missing, and the stream goes on.
    Silent,
    /// The ends of the client and the application differ.
    OneSided(String),
    /// Not served in a partition that the core does not report as unreadable.
    Hung,
    Wrong(String),
}

/// The client's view of a stream in a round.
#[derive(Debug)]
pub(super) enum ClientEnd {
    /// The answer has arrived; whether listed messages are missing before it.
    Answered {
        silent: bool,
    },
    Reset(String),
    Killed(String),
    Wrong(String),
}

impl Verdict {
    /// Judges a stream; `end` is `None` if the client was not served, and `is_refused` if the core reports its
    /// partition as unreadable.
    pub(super) fn new(end: Option<ClientEnd>, seen: &Seen, is_refused: bool) -> Self {
        if let Some(wrong) = &seen.wrong {
            return Self::Wrong(wrong.clone());
        }
        let ends = seen.ends.len();
        match end {
            Some(ClientEnd::Wrong(what)) => Self::Wrong(what),
            Some(ClientEnd::Reset(reason)) if is_state_lost(&reason) => {
                let same = seen.ends.iter().filter(|end| is_state_lost(end)).count();
                match (seen.started, ends, same) {
                    (true, 1, 1) => Self::StateLost,
                    (false, 0, _) => Self::Unassigned,
                    _ => Self::OneSided(format!("the client: {reason}; the application: {seen:?}")),
                }
            }
            Some(ClientEnd::Reset(reason)) => Self::Wrong(format!("an end with {reason}")),
            Some(ClientEnd::Killed(reason)) if reason != "stream_attach_failure" => {
                Self::Wrong(format!("a transport killed with {reason}"))
            }
            Some(ClientEnd::Killed(_)) if seen.started => {
                Self::OneSided(format!("the client: unknown stream; the application: {seen:?}"))
            }
            Some(ClientEnd::Killed(_)) => Self::Unknown,
            Some(ClientEnd::Answered { .. }) | None if ends > 0 => {
                Self::OneSided(format!("the client: no end; the application: {seen:?}"))
            }
            None if is_refused => Self::Refused,
            None => Self::Hung,
            Some(ClientEnd::Answered { silent }) if silent || seen.silent => Self::Silent,
            Some(ClientEnd::Answered { .. }) => Self::Intact,
        }
    }

    /// Whether the verdict is a defect, independent of the damage.
    pub(super) fn is_defect(&self) -> bool {
        match self {
            Self::OneSided(_) | Self::Hung | Self::Wrong(_) => true,
            Self::Intact
            | Self::StateLost
            | Self::Unassigned
            | Self::Unknown
            | Self::Refused
            | Self::Silent => false,
        }
    }
}

/// Whether the text of a reset has this reason; the client's text ends with a flag.
fn is_state_lost(reason: &str) -> bool {
    reason.split_once('|').map_or(reason, |(reason, _)| reason) == "state lost"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(end: Option<ClientEnd>, seen: &Seen) -> Verdict {
        Verdict::new(end, seen, false)
    }

    fn lost() -> Option<ClientEnd> {
        Some(ClientEnd::Reset("state lost|0".to_owned()))
    }

    fn answered() -> Option<ClientEnd> {
        Some(ClientEnd::Answered { silent: false })
    }

    fn seen(ends: &[&str]) -> Seen {
        let ends = ends.iter().map(ToString::to_string).collect();
        Seen { started: true, probed: true, ends, ..Seen::default() }
    }

    #[test]
    fn both_sides_must_receive_the_same_end_once() {
        assert_eq!(judge(lost(), &seen(&["state lost"])), Verdict::StateLost);
        for ends in [&[][..], &["state lost", "state lost"], &["no activity"]] {
            let verdict = judge(lost(), &seen(ends));
            assert!(matches!(verdict, Verdict::OneSided(_)), "{ends:?}: {verdict:?}");
        }
        for end in [answered(), None] {
            assert!(matches!(judge(end, &seen(&["state lost"])), Verdict::OneSided(_)));
        }
        assert_eq!(judge(lost(), &Seen::default()), Verdict::Unassigned);
        let idle = Some(ClientEnd::Reset("no activity|0".to_owned()));
        assert!(matches!(judge(idle, &seen(&["no activity"])), Verdict::Wrong(_)));
    }

    #[test]
    fn an_unknown_stream_must_be_unknown_on_both_sides() {
        let killed = |reason: &str| Some(ClientEnd::Killed(reason.to_owned()));
        assert_eq!(judge(killed("stream_attach_failure"), &Seen::default()), Verdict::Unknown);
        let verdict = judge(killed("stream_attach_failure"), &seen(&[]));
        assert!(matches!(verdict, Verdict::OneSided(_)));
        assert!(matches!(judge(killed("acknowledged_unsent"), &seen(&[])), Verdict::Wrong(_)));
    }

    #[test]
    fn an_unserved_stream_is_refused_or_hangs() {
        assert_eq!(Verdict::new(None, &Seen::default(), true), Verdict::Refused);
        assert_eq!(judge(None, &Seen::default()), Verdict::Hung);
        assert!(Verdict::Hung.is_defect() && !Verdict::Refused.is_defect());
    }

    #[test]
    fn the_application_may_contradict_the_client() {
        assert_eq!(judge(answered(), &seen(&[])), Verdict::Intact);
        let silent = Seen { silent: true, ..seen(&[]) };
        assert_eq!(judge(answered(), &silent), Verdict::Silent);
        let wrong = Seen { wrong: Some("x".to_owned()), ..seen(&[]) };
        assert_eq!(judge(lost(), &wrong), Verdict::Wrong("x".to_owned()));
    }
}

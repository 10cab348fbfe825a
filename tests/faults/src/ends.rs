//! The ends that both sides of a stream received, as recorded in the ledger: `SIDE: REASON, by END`. Pure.

/// The reason of an end after a loss in the store.
pub(crate) const STATE_LOST: &str = "state lost";
/// The recorded side of a client.
pub(crate) const CLIENT: &str = "the client";
/// The recorded side of the application, one end for each informed instance.
pub(crate) const APPLICATION: &str = "the application";

/// The ends of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Ends {
    /// The client once, and the application, with the same reason.
    Same(String),
    /// Only the client, with this reason.
    ClientAlone(String),
    /// The application alone, several ends of the client, or different reasons.
    Differ,
}

impl Ends {
    /// Compares the recorded ends of a stream. `Audit` checks that no instance receives an end twice.
    pub(crate) fn of(recorded: &[String]) -> Self {
        let of_side = |side| recorded.iter().filter_map(move |end| reason(end, side));
        let clients: Vec<_> = of_side(CLIENT).collect();
        let [client] = clients[..] else { return Self::Differ };
        let mut applications = of_side(APPLICATION).peekable();
        if applications.peek().is_none() {
            return Self::ClientAlone(client.to_owned());
        }
        if applications.all(|reason| reason == client) {
            Self::Same(client.to_owned())
        } else {
            Self::Differ
        }
    }
}

/// The reason of an end of this side.
fn reason<'a>(end: &'a str, side: &str) -> Option<&'a str> {
    let text = end.strip_prefix(side)?.strip_prefix(": ")?;
    Some(text.rsplit_once(", by ").map_or(text, |(reason, _)| reason))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_sides_must_receive_the_same_reason() {
        let ends =
            |texts: &[&str]| Ends::of(&texts.iter().map(ToString::to_string).collect::<Vec<_>>());
        let (lost, idle) = ("state lost".to_owned(), "no activity".to_owned());
        let (client, app) =
            ("the client: state lost, by Server", "the application: state lost, by Core");
        assert_eq!(ends(&[client, app]), Ends::Same(lost.clone()));
        assert_eq!(ends(&[app, app, client]), Ends::Same(lost.clone()), "two instances");
        assert_eq!(ends(&[client]), Ends::ClientAlone(lost));
        let other = "the application: no activity, by Core";
        for differing in
            [&[app][..], &[client, client, app], &[client, other], &[client, app, other], &[]]
        {
            assert_eq!(ends(differing), Ends::Differ, "{differing:?}");
        }
        let idle_client = "the client: no activity, by Server";
        assert_eq!(ends(&[idle_client, other]), Ends::Same(idle));
    }
}

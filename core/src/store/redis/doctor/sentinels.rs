//! Findings about the listed Sentinels: whether they reply and agree. Pure.

use minerva_runtime::doctor::Finding;

use super::super::super::StoreError;
use super::super::sentinel::{Located, SentinelReply};
use super::super::url::Node;

/// One finding per Sentinel, the first `listed` of which are listed. `located` is the primary that a core would use.
pub(super) fn sentinel_findings(
    replies: &[(Node, SentinelReply)],
    located: &Located,
    listed: usize,
) -> Vec<Finding> {
    replies.iter().map(|(node, reply)| finding(node, reply, located, listed)).collect()
}

/// The longest time in milliseconds for which the primary must be unreachable before a failover.
pub(super) fn longest_down_after(replies: &[(Node, SentinelReply)]) -> Option<u64> {
    let views = replies.iter().filter_map(|(_, reply)| reply.as_ref().ok()?.as_ref());
    views.map(|view| view.down_after_ms).max()
}

fn finding(node: &Node, reply: &SentinelReply, located: &Located, listed: usize) -> Finding {
    let subject = format!("Sentinel at {node}");
    match reply {
        Ok(Some(view)) if view.primary != located.primary => {
            let value = format!("names {}, with epoch {}", view.primary, view.epoch);
            let fix = format!("the newest configuration names {}; see its log", located.primary);
            Finding::warn(subject, value, fix)
        }
        Ok(Some(view)) if view.sentinels() > listed => {
            let value = format!("{} Sentinels, {listed} in --store", view.sentinels());
            let fix =
                "list all Sentinels; with wait=, half of all must reply and agree on the primary";
            Finding::warn(subject, value, fix)
        }
        Ok(Some(view)) => Finding::ok(subject, format!("names {}", view.primary)),
        Ok(None) => {
            let fix = "let the Sentinel monitor the primary, or remove the Sentinel from --store";
            Finding::warn(subject, "does not monitor this primary", fix)
        }
        Err(StoreError::Config(refusal)) => Finding::fail(subject, "refuses", refusal),
        Err(error) => Finding::warn(subject, "unusable", error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use minerva_runtime::doctor::Verdict::{self, Fail, Ok as Fine, Warn};

    use super::super::super::sentinel::View;
    use super::*;

    fn node(port: u16) -> Node {
        Node { host: "h".to_owned(), port }
    }

    #[test]
    fn each_sentinel_has_a_finding() {
        let view =
            |primary, sentinels: u16| Ok(Some(View::with_others(node(primary), 4, sentinels - 1)));
        let replies = [
            (view(1, 7), Fine),
            (view(1, 8), Warn),
            (view(2, 1), Warn),
            (Ok(None), Warn),
            (Err(StoreError::Unavailable("timeout".to_owned())), Warn),
            (Err(StoreError::Config("password".to_owned())), Fail),
            (view(1, 3), Fine),
        ];
        let (replies, expected): (Vec<SentinelReply>, Vec<Verdict>) = replies.into_iter().unzip();
        let replies: Vec<_> = (11..).map(node).zip(replies).collect();
        let located =
            Located { primary: node(1), replicas: Vec::new(), known_replicas: 0, is_settled: true };
        let findings = sentinel_findings(&replies, &located, 7);
        let verdicts: Vec<_> = findings.iter().map(Finding::verdict).collect();
        assert_eq!(verdicts, expected);
        assert_eq!(findings[0].subject(), "Sentinel at h:11");
        assert_eq!(longest_down_after(&replies), Some(1000));
        assert_eq!(longest_down_after(&replies[3..6]), None);
    }
}

//! What `doctor` says of certificate and key. Called by `config.rs`; a process that serves never runs it.

use minerva_proto::process::ConfigError;
use minerva_proto::process::doctor::Finding;

use super::validity::valid_until;
use super::{Files, Paths};
use crate::clock;

const WHAT: &str = "TLS certificate and key";

/// Less time than that is left: it should have been renewed.
const SOON: i64 = 14;

const DAY: i64 = 86_400;

/// Looks at the files that the options name, if they name any.
pub(crate) fn examine(paths: Paths<'_>, has_port: bool) -> Option<Finding> {
    match Files::of(paths, has_port) {
        Ok(None) => None,
        Ok(Some(files)) => Some(look(&files).unwrap_or_else(|error| Finding::wrong(WHAT, error))),
        Err(error) => Some(Finding::wrong(WHAT, error)),
    }
}

fn look(files: &Files) -> Result<Finding, ConfigError> {
    // Whether the key goes with it, and all that a start checks.
    files.acceptor()?;
    let until = files.chain()?.first().and_then(|certificate| valid_until(certificate));
    Ok(judge(until.map(|until| until - clock::wall_seconds())))
}

/// `left`: seconds that the certificate is valid, if that could be read.
fn judge(left: Option<i64>) -> Finding {
    let fix = "renew the certificate, then send SIGHUP to the edge";
    match left {
        None => Finding::warn(WHAT, "its last day cannot be read", "look at it with openssl x509"),
        Some(left) if left < 0 => {
            Finding::fail(WHAT, format!("expired {} days ago", -left / DAY), fix)
        }
        Some(left) if left < SOON * DAY => {
            Finding::warn(WHAT, format!("expires in {} days", left / DAY), fix)
        }
        Some(left) => Finding::ok(WHAT, format!("for {} more days", left / DAY)),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use minerva_proto::process::doctor::Verdict;

    use super::*;

    #[test]
    fn a_certificate_is_judged_by_the_days_that_are_left() {
        for (left, verdict) in [
            (None, Verdict::Warn),
            (Some(-1), Verdict::Fail),
            (Some(0), Verdict::Warn),
            (Some(SOON * DAY - 1), Verdict::Warn),
            (Some(SOON * DAY), Verdict::Ok),
        ] {
            assert_eq!(judge(left).verdict(), verdict, "{left:?}");
        }
    }

    #[test]
    fn nothing_is_said_of_what_nobody_named() {
        assert_eq!(examine(Paths::default(), false), None);
        let key = Some(Path::new("key.pem"));
        let found = examine(Paths { key, certificate: None }, false).unwrap();
        assert_eq!(found.verdict(), Verdict::Fail);
        assert!(found.to_string().contains("--tls-certificate"), "{found}");
    }
}

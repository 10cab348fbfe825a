//! The check of certificate and key in `minerva-edge doctor`. Called by `config.rs`; not used while serving.

use minerva_runtime::ConfigError;
use minerva_runtime::doctor::Finding;

use super::validity::valid_until;
use super::{Files, Paths};
use crate::clock;

const SUBJECT: &str = "TLS certificate and key";

/// Remaining validity in days below which a renewal is due.
const RENEWAL_DUE: i64 = 14;

const DAY: i64 = 86_400;

/// Checks the files of the options; `None` if there are none.
pub(crate) fn examine(paths: Paths<'_>, has_port: bool) -> Option<Finding> {
    match Files::of(paths, has_port) {
        Ok(None) => None,
        Ok(Some(files)) => {
            Some(check(&files).unwrap_or_else(|error| Finding::config_error(SUBJECT, error)))
        }
        Err(error) => Some(Finding::config_error(SUBJECT, error)),
    }
}

fn check(files: &Files) -> Result<Finding, ConfigError> {
    // The same checks as at the start of an edge.
    files.acceptor()?;
    let until = files.chain()?.first().and_then(|certificate| valid_until(certificate));
    Ok(rate(until.map(|until| until - clock::wall_seconds())))
}

/// Rates the remaining validity in seconds; `None` if the date cannot be read.
fn rate(left: Option<i64>) -> Finding {
    let fix = "renew the certificate, then send SIGHUP to the edge";
    match left {
        None => Finding::warn(
            SUBJECT,
            "the expiry date cannot be read",
            "inspect the file with openssl x509",
        ),
        Some(left) if left < 0 => {
            Finding::fail(SUBJECT, format!("expired {} days ago", -left / DAY), fix)
        }
        Some(left) if left < RENEWAL_DUE * DAY => {
            Finding::warn(SUBJECT, format!("expires in {} days", left / DAY), fix)
        }
        Some(left) => Finding::ok(SUBJECT, format!("for {} more days", left / DAY)),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use minerva_runtime::doctor::Verdict;

    use super::*;

    #[test]
    fn a_certificate_is_rated_by_its_remaining_days() {
        for (left, verdict) in [
            (None, Verdict::Warn),
            (Some(-1), Verdict::Fail),
            (Some(0), Verdict::Warn),
            (Some(RENEWAL_DUE * DAY - 1), Verdict::Warn),
            (Some(RENEWAL_DUE * DAY), Verdict::Ok),
        ] {
            assert_eq!(rate(left).verdict(), verdict, "{left:?}");
        }
    }

    #[test]
    fn without_files_there_is_no_finding() {
        assert_eq!(examine(Paths::default(), false), None);
        let key = Some(Path::new("key.pem"));
        let found = examine(Paths { key, certificate: None }, false).unwrap();
        assert_eq!(found.verdict(), Verdict::Fail);
        assert!(found.to_string().contains("--tls-certificate"), "{found}");
    }
}

//! Log lines about refused origins, host names and service names: one per kind of refusal and process, at growing intervals.
//!
//! Clients choose the names, so the lines are limited per kind and not per name. Called by `http.rs`.

use http::HeaderMap;
use http::header::{HOST, HeaderName, ORIGIN};
use minerva_runtime::recurring::RecurringFaults;

use crate::clock;

static FAULTS: RecurringFaults = RecurringFaults::new();

/// Longest part of a name in the log, in bytes.
const MAX_NAME: usize = 100;

/// Logs a refused origin if a line is due.
pub(super) fn warn_origin(headers: &HeaderMap) {
    if let Some(refused) = FAULTS.record("origin", clock::now()) {
        let origin = shown(headers, &ORIGIN);
        tracing::warn!(
            refused,
            origin,
            "refused an origin; to allow its pages, add it to --origins"
        );
    }
}

/// Logs a refused host name if a line is due.
pub(super) fn warn_host(headers: &HeaderMap) {
    if let Some(refused) = FAULTS.record("host", clock::now()) {
        let host = shown(headers, &HOST);
        tracing::warn!(refused, host, "refused a host name; list host names in --hosts");
    }
}

/// Logs a path with an invalid service name if a line is due.
pub(super) fn warn_service(path: &str) {
    if let Some(refused) = FAULTS.record("service", clock::now()) {
        let path = cut(path.as_bytes());
        tracing::warn!(refused, path, "refused a service name; clients use /_minerva/NAME/");
    }
}

/// The begin of a header as printable text.
fn shown(headers: &HeaderMap, name: &HeaderName) -> String {
    headers.get(name).map_or_else(|| "none".to_owned(), |value| cut(value.as_bytes()))
}

fn cut(bytes: &[u8]) -> String {
    let shown = bytes.get(..MAX_NAME).unwrap_or(bytes).escape_ascii().to_string();
    if bytes.len() > MAX_NAME { format!("{shown}...") } else { shown }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn a_logged_name_is_bounded_and_printable() {
        for (length, is_cut) in [(MAX_NAME - 1, false), (MAX_NAME, false), (MAX_NAME + 1, true)] {
            let value = HeaderValue::from_str(&"a".repeat(length)).unwrap();
            let text = shown(&HeaderMap::from_iter([(ORIGIN, value)]), &ORIGIN);
            assert_eq!(
                (text.ends_with("..."), text.len()),
                (is_cut, length.min(MAX_NAME) + if is_cut { 3 } else { 0 })
            );
        }
        let value = HeaderValue::from_bytes(b"a\xff").unwrap();
        assert_eq!(shown(&HeaderMap::from_iter([(HOST, value)]), &HOST), "a\\xff");
        assert_eq!(shown(&HeaderMap::new(), &ORIGIN), "none");
    }
}

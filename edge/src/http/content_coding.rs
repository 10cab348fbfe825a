//! Selection of the content coding of a page by the header `accept-encoding` (RFC 9110, section 12.5.3). Called by `http.rs`.

use http::HeaderMap;
use http::header::ACCEPT_ENCODING;

/// Whether the client accepts gzip; a missing header means no, because old programs send none.
pub(super) fn accepts_gzip(headers: &HeaderMap) -> bool {
    let lines = headers.get_all(ACCEPT_ENCODING).iter().filter_map(|line| line.to_str().ok());
    let mut any = false;
    for (coding, accepted) in lines.flat_map(|line| line.split(',')).map(preference) {
        match coding.to_ascii_lowercase().as_str() {
            // The coding itself counts more than the wildcard.
            "gzip" | "x-gzip" => return accepted,
            "*" => any = accepted,
            _ => {}
        }
    }
    any
}

/// Splits `CODING;q=WEIGHT`; a weight of 0 refuses the coding.
fn preference(item: &str) -> (&str, bool) {
    let (coding, parameters) = item.split_once(';').unwrap_or((item, ""));
    let weight = parameters.split(';').find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        name.trim().eq_ignore_ascii_case("q").then(|| value.trim().parse::<f32>().ok())
    });
    let accepted = match weight {
        None => true,
        Some(weight) => weight.is_some_and(|weight| weight > 0.0),
    };
    (coding.trim(), accepted)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn gzip_is_used_only_if_the_client_accepts_it() {
        let accepts = |lines: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append(ACCEPT_ENCODING, HeaderValue::from_static(line));
            }
            accepts_gzip(&headers)
        };
        for yes in ["gzip", "GZIP", "x-gzip", "gzip, deflate, br", "br;q=1, gzip ; q=0.001", "*"] {
            assert!(accepts(&[yes]), "{yes}");
        }
        for no in [
            "",
            "br",
            "identity",
            "gzip;q=0",
            "gzip;q=0.000",
            "gzip;q=x",
            "*;q=0",
            "*, gzip;q=0",
            "gzip;q=0, *",
        ] {
            assert!(!accepts(&[no]), "{no}");
        }
        assert!(accepts(&["br", "gzip"]));
        assert!(!accepts(&[]));
    }
}

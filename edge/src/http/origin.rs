//! Which web pages may use this edge: the check of the Origin header, and what allowed ones are told
//! (CORS).

use http::header::{
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, HOST, HeaderValue, ORIGIN, VARY,
};
use http::{HeaderMap, Uri};

/// The pages that may use this edge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Origins {
    /// `None`: those of the same host only.
    allowed: Option<Vec<String>>,
    /// All of them.
    any: bool,
    /// A request must name its origin; browsers do, other clients need not.
    required: bool,
}

/// An entry of the list that is no origin.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not an origin")]
pub(crate) struct NoOrigin(String);

/// Who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The request names no origin, and need not.
    Absent,
    /// A page that may.
    Allowed,
    /// A page that may not, or no page where one is required.
    Foreign,
}

impl Origins {
    /// `list`: origins such as `https://example.com`, or `*`; none: those of the same host.
    pub(crate) fn new(list: &[String], required: bool) -> Result<Self, NoOrigin> {
        // An environment variable that is empty names none.
        let list = list.iter().map(|origin| origin.trim()).filter(|origin| !origin.is_empty());
        let list: Vec<&str> = list.collect();
        let any = list.contains(&"*");
        let parsed = list.iter().filter(|origin| **origin != "*").map(|origin| parse(origin));
        let parsed = parsed.collect::<Result<Vec<_>, _>>()?;
        Ok(Self { allowed: (!list.is_empty()).then_some(parsed), any, required })
    }

    /// `encrypted`: the request came over HTTPS, for sure.
    pub(super) fn judge(&self, headers: &HeaderMap, encrypted: bool) -> Verdict {
        let mut origins = headers.get_all(ORIGIN).iter();
        let Some(origin) = origins.next() else {
            return if self.required { Verdict::Foreign } else { Verdict::Absent };
        };
        let Ok(origin) = origin.to_str() else { return Verdict::Foreign };
        let allowed = origins.next().is_none()
            && match &self.allowed {
                _ if self.any => true,
                Some(allowed) => {
                    let origin = origin.to_ascii_lowercase();
                    allowed.contains(&origin)
                }
                None => is_same_host(origin, headers, encrypted),
            };
        if allowed { Verdict::Allowed } else { Verdict::Foreign }
    }
}

impl Verdict {
    /// The origin to be named in the answer.
    pub(super) fn allowed_origin(self, headers: &HeaderMap) -> Option<HeaderValue> {
        match self {
            Self::Allowed => headers.get(ORIGIN).cloned(),
            Self::Absent | Self::Foreign => None,
        }
    }
}

/// Lets the page that asked read the answer.
pub(super) fn allow(headers: &mut HeaderMap, origin: HeaderValue) {
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static("retry-after"));
    headers.append(VARY, HeaderValue::from_static("origin"));
}

fn parse(origin: &str) -> Result<String, NoOrigin> {
    let wrong = || NoOrigin(origin.to_owned());
    let (scheme, host) = origin.split_once("://").ok_or_else(wrong)?;
    let scheme_fits = !scheme.is_empty()
        && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
    let host_fits = !host.is_empty()
        && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._:[]".contains(&byte));
    if scheme_fits && host_fits { Ok(origin.to_ascii_lowercase()) } else { Err(wrong()) }
}

/// Whether the origin's host and port are those that the request was sent to. Without encryption here there may be
/// some in front of a proxy; with it, a page that came without is another one: anybody on the way may have written it.
fn is_same_host(origin: &str, headers: &HeaderMap, encrypted: bool) -> bool {
    let Some(host) = headers.get(HOST).and_then(|host| host.to_str().ok()) else { return false };
    let Ok(origin) = origin.parse::<Uri>() else { return false };
    let Some(authority) = origin.authority() else { return false };
    let default = match origin.scheme_str() {
        Some("http") if !encrypted => 80,
        Some("https") => 443,
        Some(_) | None => return false,
    };
    let Ok(host) = host.parse::<http::uri::Authority>() else { return false };
    authority.host().eq_ignore_ascii_case(host.host())
        && authority.port_u16().unwrap_or(default) == host.port_u16().unwrap_or(default)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(origins: &Origins, host: &str, origin: Option<&'static str>) -> Verdict {
        let mut headers = HeaderMap::new();
        headers.insert(HOST, HeaderValue::from_str(host).unwrap());
        if let Some(origin) = origin {
            headers.insert(ORIGIN, HeaderValue::from_static(origin));
        }
        origins.judge(&headers, false)
    }

    #[test]
    fn without_a_list_pages_of_the_same_host_may() {
        let origins = Origins::new(&[], false).unwrap();
        let judge = |host, origin| judge(&origins, host, origin);
        assert_eq!(judge("a.example", None), Verdict::Absent);
        assert_eq!(judge("a.example", Some("https://a.example")), Verdict::Allowed);
        assert_eq!(judge("A.example:80", Some("http://a.example")), Verdict::Allowed);
        assert_eq!(judge("[::1]:8080", Some("http://[::1]:8080")), Verdict::Allowed);
        for foreign in
            ["https://b.example", "http://a.example:81", "null", "a.example", "file://", ""]
        {
            assert_eq!(judge("a.example", Some(foreign)), Verdict::Foreign, "{foreign}");
        }
    }

    #[test]
    fn over_https_pages_of_http_are_foreign() {
        let origins = Origins::new(&[], false).unwrap();
        let judge = |host: &'static str, origin| {
            let mut headers = HeaderMap::new();
            headers.insert(HOST, HeaderValue::from_static(host));
            headers.insert(ORIGIN, HeaderValue::from_static(origin));
            origins.judge(&headers, true)
        };
        assert_eq!(judge("a.example", "https://a.example"), Verdict::Allowed);
        assert_eq!(judge("a.example:443", "https://a.example"), Verdict::Allowed);
        assert_eq!(judge("a.example:8443", "https://a.example:8443"), Verdict::Allowed);
        assert_eq!(judge("a.example", "http://a.example"), Verdict::Foreign);
        assert_eq!(judge("a.example:8443", "http://a.example:8443"), Verdict::Foreign);
        assert_eq!(judge("a.example:8443", "https://a.example"), Verdict::Foreign);
    }

    #[test]
    fn a_list_names_those_who_may() {
        let list = ["https://App.example".to_owned(), "http://localhost:3000".to_owned()];
        let origins = Origins::new(&list, true).unwrap();
        let judge = |origin| judge(&origins, "edge.example", origin);
        assert_eq!(judge(Some("https://app.example")), Verdict::Allowed);
        assert_eq!(judge(Some("http://localhost:3000")), Verdict::Allowed);
        assert_eq!(judge(Some("http://localhost")), Verdict::Foreign);
        assert_eq!(judge(Some("https://edge.example")), Verdict::Foreign);
        assert_eq!(judge(None), Verdict::Foreign);
    }

    #[test]
    fn a_star_lets_all_in_and_nonsense_is_refused() {
        let any = Origins::new(&["*".to_owned()], false).unwrap();
        assert_eq!(judge(&any, "a", Some("https://b")), Verdict::Allowed);
        for wrong in ["example.com", "https://", "https://a/b", "://a"] {
            assert!(Origins::new(&[wrong.to_owned()], false).is_err(), "{wrong}");
        }
    }

    #[test]
    fn an_empty_list_is_no_list() {
        assert_eq!(Origins::new(&[String::new()], false), Origins::new(&[], false));
    }

    #[test]
    fn two_origins_are_none() {
        let origins = Origins::new(&[], false).unwrap();
        let mut headers = HeaderMap::new();
        headers.insert(HOST, HeaderValue::from_static("a"));
        headers.append(ORIGIN, HeaderValue::from_static("http://a"));
        assert_eq!(origins.judge(&headers, false), Verdict::Allowed);
        headers.append(ORIGIN, HeaderValue::from_static("http://a"));
        assert_eq!(origins.judge(&headers, false), Verdict::Foreign);
    }
}

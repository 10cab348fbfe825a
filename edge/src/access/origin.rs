//! Check of the `Origin` header against the allow-list, and the CORS headers for allowed origins. Pure; called
//! by `http.rs`.

use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS,
    HOST, HeaderValue, ORIGIN, VARY,
};
use http::uri::Authority;
use http::{HeaderMap, Uri};
use url::Url;

/// Allowed web origins of an edge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Origins {
    /// Origins as browsers write them; `None` allows the origin of the same host only.
    allowed: Option<Vec<String>>,
    /// Every origin is allowed (`*`).
    any: bool,
    /// Requests without `Origin` are rejected; browsers always send the header.
    required: bool,
}

/// An entry of the allow-list is not an origin.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not an origin")]
pub(crate) struct OriginError(String);

/// Result of the check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// No `Origin` header, and none is required.
    Absent,
    /// The origin is allowed.
    Allowed,
    /// The origin is not allowed, or the header is missing although required or sent by a page of another site.
    Foreign,
}

impl Origins {
    /// Parses the allow-list: origins such as `https://example.com`, or `*`. An empty list allows the same host.
    pub(crate) fn new(list: &[String], required: bool) -> Result<Self, OriginError> {
        // An empty environment variable is an empty list.
        let list = list.iter().map(|origin| origin.trim()).filter(|origin| !origin.is_empty());
        let list: Vec<&str> = list.collect();
        let any = list.contains(&"*");
        let parsed = list.iter().filter(|origin| **origin != "*").map(|origin| parse(origin));
        let parsed = parsed.collect::<Result<Vec<_>, _>>()?;
        Ok(Self { allowed: (!list.is_empty()).then_some(parsed), any, required })
    }

    /// Checks a request; `encrypted` if this process terminates its TLS.
    pub(crate) fn check(&self, headers: &HeaderMap, encrypted: bool) -> Verdict {
        let mut origins = headers.get_all(ORIGIN).iter();
        let Some(origin) = origins.next() else {
            let is_refused = self.required || is_cross_site(headers);
            return if is_refused { Verdict::Foreign } else { Verdict::Absent };
        };
        let Ok(origin) = origin.to_str() else { return Verdict::Foreign };
        let allowed = origins.next().is_none()
            && match &self.allowed {
                _ if self.any => true,
                Some(allowed) => parse(origin).is_ok_and(|origin| allowed.contains(&origin)),
                None => is_same_host(origin, headers, encrypted),
            };
        if allowed { Verdict::Allowed } else { Verdict::Foreign }
    }

    /// Whether the operator has listed the origin by name, not by `*`: its pages may send cookies.
    fn is_listed(&self, origin: &HeaderValue) -> bool {
        let Some(Ok(origin)) = origin.to_str().ok().map(parse) else { return false };
        self.allowed.as_ref().is_some_and(|allowed| allowed.contains(&origin))
    }

    /// Sets the CORS headers that allow `origin` to read the response, with cookies if the origin is listed.
    pub(crate) fn allow(&self, headers: &mut HeaderMap, origin: HeaderValue) {
        if self.is_listed(&origin) {
            headers.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
        }
        expose(headers, origin);
        headers.append(VARY, HeaderValue::from_static("origin"));
    }
}

impl Verdict {
    /// Value of `Access-Control-Allow-Origin` in the response.
    pub(crate) fn allowed_origin(self, headers: &HeaderMap) -> Option<HeaderValue> {
        match self {
            Self::Allowed => headers.get(ORIGIN).cloned(),
            Self::Absent | Self::Foreign => None,
        }
    }
}

/// Lets every page read a refusal, which has no data of this server: a browser reports an unreadable one as a network
/// failure.
pub(crate) fn explain(headers: &mut HeaderMap) {
    expose(headers, HeaderValue::from_static("*"));
}

fn expose(headers: &mut HeaderMap, origin: HeaderValue) {
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static("retry-after"));
}

/// Returns an origin as browsers write it: lower case, ASCII form of international names, no default port. An origin
/// of another scheme than HTTP, such as `app://localhost`, only becomes lower case.
fn parse(origin: &str) -> Result<String, OriginError> {
    let wrong = || OriginError(origin.to_owned());
    let (scheme, host) = origin.split_once("://").ok_or_else(wrong)?;
    if host.is_empty() || host.contains(['/', '?', '#', '@', '\\']) {
        return Err(wrong());
    }
    let is_web = ["http", "https"].iter().any(|web| scheme.eq_ignore_ascii_case(web));
    let normal = if is_web {
        Url::parse(origin).map_err(|_| wrong())?.origin().ascii_serialization()
    } else {
        origin.to_ascii_lowercase()
    };
    let fits = |text: &str, more: &[u8]| {
        text.bytes().all(|byte| byte.is_ascii_alphanumeric() || more.contains(&byte))
    };
    match normal.split_once("://") {
        Some((scheme, host))
            if !scheme.is_empty() && fits(scheme, b"+-.") && fits(host, b"-._:[]") =>
        {
            Ok(normal)
        }
        Some(_) | None => Err(wrong()),
    }
}

/// Whether a browser reports that a page of another site has caused the request.
fn is_cross_site(headers: &HeaderMap) -> bool {
    headers.get_all("sec-fetch-site").iter().any(|site| site == "cross-site")
}

/// Whether `origin` has the host and port of the request's `Host` header. Without TLS in this process a proxy may
/// terminate TLS, so both schemes are accepted. With TLS, an `http` origin is foreign: its page may be forged.
fn is_same_host(origin: &str, headers: &HeaderMap, encrypted: bool) -> bool {
    let Some(host) = headers.get(HOST).and_then(|host| host.to_str().ok()) else { return false };
    let Ok(origin) = origin.parse::<Uri>() else { return false };
    let Some(authority) = origin.authority() else { return false };
    let default = match origin.scheme_str() {
        Some("http") if !encrypted => 80,
        Some("https") => 443,
        Some(_) | None => return false,
    };
    let Ok(host) = host.parse::<Authority>() else { return false };
    let origin = host_and_port(authority, default);
    origin.is_some() && origin == host_and_port(&host, default)
}

/// The host in lower case and the port; `None` with user information, or with a port that is no number.
fn host_and_port(authority: &Authority, default: u16) -> Option<(String, u16)> {
    let rest = authority.as_str().strip_prefix(authority.host())?;
    let port = match rest.strip_prefix(':') {
        Some(port) => port.parse().ok()?,
        None if rest.is_empty() => default,
        None => return None,
    };
    Some((authority.host().to_ascii_lowercase(), port))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(origins: &Origins, host: &str, origin: Option<&'static str>) -> Verdict {
        let mut headers = HeaderMap::new();
        headers.insert(HOST, HeaderValue::from_str(host).unwrap());
        if let Some(origin) = origin {
            headers.insert(ORIGIN, HeaderValue::from_static(origin));
        }
        origins.check(&headers, false)
    }

    #[test]
    fn without_a_list_the_same_host_is_allowed() {
        let origins = Origins::new(&[], false).unwrap();
        let check = |host, origin| check(&origins, host, origin);
        assert_eq!(check("a.example", None), Verdict::Absent);
        assert_eq!(check("a.example", Some("https://a.example")), Verdict::Allowed);
        assert_eq!(check("A.example:80", Some("http://a.example")), Verdict::Allowed);
        assert_eq!(check("[::1]:8080", Some("http://[::1]:8080")), Verdict::Allowed);
        for foreign in [
            "https://b.example",
            "http://a.example:81",
            "http://@a.example",
            "http://a.example:x",
            "null",
            "a.example",
            "file://",
            "",
        ] {
            assert_eq!(check("a.example", Some(foreign)), Verdict::Foreign, "{foreign}");
        }
        for host in ["a.example:x[::1]", "user@a.example", "a.example:"] {
            assert_eq!(check(host, Some("http://a.example")), Verdict::Foreign, "{host}");
        }
    }

    #[test]
    fn only_pages_of_listed_origins_may_send_cookies() {
        let allows = |list: &[&str], origin: &'static str| {
            let list: Vec<String> = list.iter().map(|&origin| origin.to_owned()).collect();
            let mut headers = HeaderMap::new();
            let origins = Origins::new(&list, false).unwrap();
            origins.allow(&mut headers, HeaderValue::from_static(origin));
            headers.contains_key(ACCESS_CONTROL_ALLOW_CREDENTIALS)
        };
        assert!(allows(&["https://a.example"], "https://a.example"));
        assert!(allows(&["*", "https://a.example"], "https://a.example"));
        assert!(!allows(&["*", "https://a.example"], "https://b.example"));
        assert!(!allows(&["*"], "https://a.example"));
        assert!(!allows(&[], "https://a.example"), "the same host needs no permission");
    }

    #[test]
    fn a_request_of_another_site_needs_an_allowed_origin() {
        let check = |list: &[&str], site: &'static str, origin: Option<&'static str>| {
            let list: Vec<String> = list.iter().map(|&origin| origin.to_owned()).collect();
            let mut headers = HeaderMap::new();
            headers.insert(HOST, HeaderValue::from_static("a.example"));
            headers.insert("sec-fetch-site", HeaderValue::from_static(site));
            origin.map(|origin| headers.insert(ORIGIN, HeaderValue::from_static(origin)));
            Origins::new(&list, false).unwrap().check(&headers, false)
        };
        for site in ["same-origin", "same-site", "none", "nonsense"] {
            assert_eq!(check(&[], site, None), Verdict::Absent, "{site}");
        }
        assert_eq!(check(&[], "cross-site", None), Verdict::Foreign);
        assert_eq!(check(&["*"], "cross-site", None), Verdict::Foreign);
        let other = Some("https://b.example");
        assert_eq!(check(&[], "cross-site", other), Verdict::Foreign);
        assert_eq!(check(&["https://b.example"], "cross-site", other), Verdict::Allowed);
    }

    #[test]
    fn over_tls_an_http_origin_is_foreign() {
        let origins = Origins::new(&[], false).unwrap();
        let check = |host: &'static str, origin| {
            let mut headers = HeaderMap::new();
            headers.insert(HOST, HeaderValue::from_static(host));
            headers.insert(ORIGIN, HeaderValue::from_static(origin));
            origins.check(&headers, true)
        };
        assert_eq!(check("a.example", "https://a.example"), Verdict::Allowed);
        assert_eq!(check("a.example:443", "https://a.example"), Verdict::Allowed);
        assert_eq!(check("a.example:8443", "https://a.example:8443"), Verdict::Allowed);
        assert_eq!(check("a.example", "http://a.example"), Verdict::Foreign);
        assert_eq!(check("a.example:8443", "http://a.example:8443"), Verdict::Foreign);
        assert_eq!(check("a.example:8443", "https://a.example"), Verdict::Foreign);
    }

    #[test]
    fn a_list_allows_only_its_origins() {
        let list = ["https://App.example".to_owned(), "http://localhost:3000".to_owned()];
        let origins = Origins::new(&list, true).unwrap();
        let check = |origin| check(&origins, "edge.example", origin);
        assert_eq!(check(Some("https://app.example")), Verdict::Allowed);
        assert_eq!(check(Some("http://localhost:3000")), Verdict::Allowed);
        assert_eq!(check(Some("http://localhost")), Verdict::Foreign);
        assert_eq!(check(Some("https://edge.example")), Verdict::Foreign);
        assert_eq!(check(None), Verdict::Foreign);
    }

    #[test]
    fn origins_are_compared_in_the_form_of_browsers() {
        for (listed, sent) in [
            ("https://example.com:443", "https://example.com"),
            ("http://Example.COM:80", "http://example.com"),
            ("HTTPS://example.com", "https://example.com"),
            ("https://b\u{fc}cher.example", "https://xn--bcher-kva.example"),
            ("https://[2001:DB8:0::1]:443", "https://[2001:db8::1]"),
            ("https://example.com:8443", "https://example.com:8443"),
            ("https://example.com", "https://example.com:443"),
            ("app://Localhost", "app://localhost"),
        ] {
            let origins = Origins::new(&[listed.to_owned()], false).unwrap();
            assert_eq!(check(&origins, "edge", Some(sent)), Verdict::Allowed, "{listed}");
        }
        let origins = Origins::new(&["https://example.com:443".to_owned()], false).unwrap();
        for foreign in ["http://example.com", "http://example.com:443", "https://example.com:80"] {
            assert_eq!(check(&origins, "edge", Some(foreign)), Verdict::Foreign, "{foreign}");
        }
    }

    #[test]
    fn a_star_allows_every_origin_and_invalid_entries_are_rejected() {
        let any = Origins::new(&["*".to_owned()], false).unwrap();
        assert_eq!(check(&any, "a", Some("https://b")), Verdict::Allowed);
        for wrong in [
            "example.com",
            "https://",
            "https://a/b",
            "://a",
            "https://a b",
            "https://a:65536",
            "https://user@a",
            "https://*.example.com",
            "app://a b",
        ] {
            assert!(Origins::new(&[wrong.to_owned()], false).is_err(), "{wrong}");
        }
    }

    #[test]
    fn an_empty_entry_is_ignored() {
        assert_eq!(Origins::new(&[String::new()], false), Origins::new(&[], false));
    }

    #[test]
    fn two_origin_headers_are_rejected() {
        let origins = Origins::new(&[], false).unwrap();
        let mut headers = HeaderMap::new();
        headers.insert(HOST, HeaderValue::from_static("a"));
        headers.append(ORIGIN, HeaderValue::from_static("http://a"));
        assert_eq!(origins.check(&headers, false), Verdict::Allowed);
        headers.append(ORIGIN, HeaderValue::from_static("http://a"));
        assert_eq!(origins.check(&headers, false), Verdict::Foreign);
    }
}

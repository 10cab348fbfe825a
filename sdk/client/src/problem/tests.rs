//! Codes derived from statuses, close codes, kills and connection failures.

use hyper::HeaderMap;
use hyper::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use minerva_runtime::dial::DialError;

use super::*;
use crate::proxy::ProxyError;

fn refused(status: u16, kind: &'static str, body: &str) -> Problem {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(RETRY_AFTER, HeaderValue::from_static("7"));
    let status = StatusCode::from_u16(status).unwrap();
    Problem::of(&TransportError::Status(HttpRefusal::new(status, &headers, body.as_bytes())))
}

#[test]
fn a_status_with_a_plain_reason_is_the_servers() {
    for (status, text, code) in [
        (400, "the request cannot be read", "frame"),
        (403, "this origin may not use this service", "origin"),
        (404, "there is nothing here", "service"),
        (421, "this server is not for this host name", "service"),
        (429, "too many connections of this address", "busy"),
        (503, "unserved", "unserved"),
        (503, "overloaded", "busy"),
        (503, "too many streams", "busy"),
        (503, "no application", "unserved"),
        (503, "this edge is draining", "draining"),
        (503, "no core", "unavailable"),
        (500, "failed", "unavailable"),
        (426, "this is for WebSockets", "proxy"),
        (302, "moved", "proxy"),
    ] {
        let problem = refused(status, "text/plain; charset=utf-8", text);
        assert_eq!(problem.code.as_str(), code, "{status} {text}");
        assert!(problem.title.contains(text), "{}", problem.title);
        assert_eq!(problem.after, Some(Duration::from_secs(7)));
    }
}

#[test]
fn a_page_of_a_program_on_the_way_is_the_proxys() {
    for status in [403, 404, 500, 502, 503, 511] {
        let problem = refused(status, "text/html", "<html>sign in</html>");
        assert_eq!(problem.code, ProblemCode::Proxy, "{status}");
        assert!(problem.title.contains(&status.to_string()), "{}", problem.title);
    }
}

#[test]
fn a_problem_document_has_its_own_code() {
    let json = r#"{"status":403,"code":"origin","title":"not this page","do":"halt","after":1500}"#;
    let problem = refused(403, "application/problem+json", json);
    assert_eq!(problem.code, ProblemCode::Refused(RefusalCode::Origin));
    assert_eq!(problem.after, Some(Duration::from_millis(1500)));
    assert!(problem.title.contains("not this page"));
}

#[test]
fn only_a_wrong_configuration_halts() {
    for code in RefusalCode::ALL {
        let expected = matches!(code, RefusalCode::Origin | RefusalCode::Service);
        assert_eq!(ProblemCode::Refused(code).halts(), expected, "{code}");
    }
    assert!(!ProblemCode::Network.halts());
}

#[test]
fn close_codes_and_kills_have_codes() {
    for (close, code) in [
        (1000, "network"),
        (1001, "draining"),
        (1002, "frame"),
        (1009, "too_large"),
        (1011, "unavailable"),
        (4403, "origin"),
        (4429, "busy"),
        (4999, "proxy"),
        (3000, "network"),
    ] {
        let problem = Problem::of(&TransportError::CloseCode(close));
        assert_eq!(problem.code.as_str(), code, "{close}");
    }
    for (reason, attached, code) in [
        (KillReason::StreamAttachFailure, false, "gone"),
        (KillReason::AckedUnsentStrings, true, "acked_unsent"),
        (KillReason::InvalidFrameTypeOrArguments, false, "hello"),
        (KillReason::InvalidFrameTypeOrArguments, true, "frame"),
        (KillReason::FrameCorruption, false, "frame"),
        (KillReason::RwinOverflow, true, "window"),
    ] {
        assert_eq!(Problem::of_kill(reason, attached).code.as_str(), code, "{reason}");
    }
}

#[test]
fn connection_failures_have_local_codes() {
    let timed_out = || std::io::Error::from(std::io::ErrorKind::TimedOut);
    let refused = || std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
    let lookup = |error| DialError::Lookup { host: "a".to_owned(), error };
    let proxy = ProxyError::Timeout { proxy: "p:1".to_owned() };
    for (error, code) in [
        (TransportError::Io(refused()), "network"),
        (TransportError::Io(timed_out()), "timeout"),
        (TransportError::Dial(lookup(refused())), "network"),
        (TransportError::Dial(lookup(timed_out())), "timeout"),
        (TransportError::Timeout { stage: "the upgrade" }, "timeout"),
        (TransportError::Proxy(proxy), "proxy"),
        (TransportError::Name, "blocked"),
        (TransportError::Closed, "network"),
        (TransportError::NotMinerva, "proxy"),
    ] {
        assert_eq!(Problem::of(&error).code.as_str(), code, "{error}");
    }
}

//! Requests that a hostile page, client or proxy sends: refused with a reason, at the cost of the sender only.

mod support;

use minerva_edge::Config;
use support::{Client, Rig, hello};

async fn ask(rig: &Rig, request: &str) -> support::Answer {
    let mut client = rig.connect().await;
    client.send(request.as_bytes()).await;
    client.answer().await
}

fn upgrade(headers: &str) -> String {
    format!(
        "GET /_minerva/ws HTTP/1.1\r\nHost: e\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{headers}\r\n"
    )
}

#[tokio::test]
async fn a_name_bound_to_loopback_by_an_attacker_is_refused() {
    let rig = Rig::start().await;
    for path in ["/", "/_minerva/io/", "/_minerva/ws", "/_minerva/client.js"] {
        let answer = ask(&rig, &format!("GET {path} HTTP/1.1\r\nHost: evil.example\r\n\r\n")).await;
        assert_eq!(answer.status, 421, "{path}");
        assert!(answer.body.contains("--hosts"), "{}", answer.body);
    }
    assert_eq!(rig.metric("foreign_hosts_total"), 4);
    let answer = ask(&rig, "GET / HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n\r\n").await;
    assert_eq!(answer.status, 200);
}

#[tokio::test]
async fn a_trusted_proxy_may_name_any_host_unless_hosts_are_listed() {
    let request = "GET / HTTP/1.1\r\nHost: other.example\r\n\r\n";
    let proxied = Config { trust_forwarded_for: vec!["127.0.0.1".to_owned()], ..Config::default() };
    // The support lists hosts, so any other name is refused.
    assert_eq!(ask(&Rig::with(proxied.clone()).await, request).await.status, 421);
    let all = Config { hosts: vec!["*".to_owned()], ..proxied };
    assert_eq!(ask(&Rig::with(all).await, request).await.status, 200);
}

#[tokio::test]
async fn a_request_of_another_site_without_an_allowed_origin_is_refused() {
    let mut rig = Rig::start().await;
    let site = "Sec-Fetch-Site: cross-site\r\n";
    for request in [
        format!("POST /_minerva/io/ HTTP/1.1\r\nHost: e\r\n{site}Content-Length: 0\r\n\r\n"),
        upgrade(site),
    ] {
        let answer = ask(&rig, &request).await;
        assert_eq!(answer.status, 403, "{request}");
        assert!(answer.body.contains("origin"), "{}", answer.body);
    }
    rig.core.expect_silence().await;
    // Scripts may be loaded from any page.
    let script = "GET /_minerva/client.js HTTP/1.1\r\nHost: e\r\n";
    assert_eq!(ask(&rig, &format!("{script}{site}\r\n")).await.status, 200);
}

#[tokio::test]
async fn a_preflight_is_valid_for_at_most_ten_minutes() {
    let rig = Rig::start().await;
    let head = "OPTIONS /_minerva/io/ HTTP/1.1\r\nHost: e\r\nOrigin: http://e\r\n\r\n";
    let answer = ask(&rig, head).await;
    assert!(answer.head.contains("access-control-max-age: 600\r\n"), "{}", answer.head);
}

#[tokio::test]
async fn an_upgrade_with_a_body_is_refused_and_the_connection_closes() {
    let rig = Rig::start().await;
    let hidden = "GET / HTTP/1.1\r\nHost: e\r\n\r\n";
    let length = format!("Content-Length: {}\r\n", hidden.len());
    for body in [
        format!("{}{hidden}", upgrade(&length)),
        format!("{}0\r\n\r\n{hidden}", upgrade("Transfer-Encoding: chunked\r\n")),
    ] {
        let mut client = rig.connect().await;
        client.send(body.as_bytes()).await;
        assert_eq!(client.answer().await.status, 400, "{body}");
        client.is_closed().await;
    }
    let mut client = rig.connect().await;
    client.send(upgrade("Content-Length: 0\r\n").as_bytes()).await;
    assert_eq!(client.answer().await.status, 101);
}

/// Two lengths of one body: whichever counts, nothing behind the body is a second request.
#[tokio::test]
async fn a_body_of_two_lengths_closes_the_connection() {
    let rig = Rig::start().await;
    let hidden = "GET /_minerva/client.js HTTP/1.1\r\nHost: e\r\n\r\n";
    let (length, chunked) = ("Content-Length: 3\r\n", "Transfer-Encoding: chunked\r\n");
    for headers in [[length, chunked], [chunked, length]] {
        let mut client = rig.connect().await;
        let head = format!("POST /_minerva/io/ HTTP/1.1\r\nHost: e\r\n{}\r\n", headers.concat());
        client.send(format!("{head}1\r\nZ\r\n0\r\n\r\n{hidden}").as_bytes()).await;
        let answer = client.answer().await;
        assert_eq!(answer.status, 400, "{headers:?}");
        client.is_closed().await;
    }
    let twice =
        "POST /_minerva/io/ HTTP/1.1\r\nHost: e\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\n";
    assert_closes_with_400(&rig, twice).await;
}

#[tokio::test]
async fn a_folded_header_is_refused() {
    let rig = Rig::start().await;
    let folded = "GET / HTTP/1.1\r\nHost: e\r\nX-Header: a\r\n b\r\n\r\n";
    assert_closes_with_400(&rig, folded).await;
}

async fn assert_closes_with_400(rig: &Rig, request: &str) {
    let mut client = rig.connect().await;
    client.send(request.as_bytes()).await;
    assert_eq!(client.answer().await.status, 400, "{request}");
    client.is_closed().await;
}

#[tokio::test]
async fn pages_carry_a_policy_and_scripts_do_not() {
    let rig = Rig::start().await;
    let page = ask(&rig, "GET / HTTP/1.1\r\nHost: e\r\n\r\n").await.head;
    let script = ask(&rig, "GET /_minerva/client.js HTTP/1.1\r\nHost: e\r\n\r\n").await.head;
    for head in [&page, &script] {
        assert!(head.contains("x-content-type-options: nosniff\r\n"), "{head}");
        assert!(head.contains("referrer-policy: same-origin\r\n"), "{head}");
    }
    assert!(page.contains("content-security-policy: default-src 'self';"), "{page}");
    assert!(page.contains("frame-ancestors 'none'"), "{page}");
    assert!(!script.contains("content-security-policy"), "{script}");
    // Pages of other origins import modules of the web client.
    let allows_all = |head: &str| head.contains("access-control-allow-origin: *\r\n");
    assert_eq!((allows_all(&page), allows_all(&script)), (false, true), "{script}");
}

/// A hello of exactly this length.
fn long_hello(length: usize) -> String {
    let short = hello("\"ming\":false,\"new\":true,\"other\":\"\"");
    hello(&format!(
        "\"ming\":false,\"new\":true,\"other\":\"{}\"",
        "x".repeat(length - short.len())
    ))
}

#[tokio::test]
async fn a_long_hello_of_an_upload_is_answered() {
    const LIMIT: usize = 128 * 1024;
    let mut rig = Rig::start().await;
    for length in [LIMIT - 1, LIMIT] {
        let mut client: Client = rig.post(&[&long_hello(length)]).await;
        let attach = rig.core.attach().await;
        assert!(attach.batch.unwrap().end.is_some(), "{length}");
        rig.core.close(attach.transport, -1).await;
        assert_eq!(client.answer().await.status, 200);
        rig.core.detach().await;
    }
    for length in [LIMIT + 1, 400_000, 900_000] {
        let answer = rig.post(&[&long_hello(length)]).await.answer().await;
        assert_eq!((answer.status, answer.body.as_str()), (200, ";)]}^\nframe_corruptionK\n"));
    }
}

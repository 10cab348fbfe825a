//! Responses to requests other than transports, to unknown protocols and to excess input.

mod support;

use std::time::Duration;

use minerva_edge::Config;
use support::{Rig, hello};

const POLICY: &str = "<cross-domain-policy>\n<allow-access-from domain=\"*\" to-ports=\"*\"/>\n\
    </cross-domain-policy>\0";

async fn ask(rig: &Rig, request: &str) -> support::Answer {
    let mut client = rig.connect().await;
    client.send(request.as_bytes()).await;
    client.answer().await
}

#[tokio::test]
async fn the_policy_file_is_served_and_the_rest_ignored() {
    let rig = Rig::start().await;
    let mut client = rig.connect().await;
    for byte in b"<policy-file-request/>\0" {
        client.send(&[*byte]).await;
    }
    client.until(POLICY).await;
    client.send(b"<int32/>\n\0\0\0\x01H").await;
    client.is_quiet().await;
}

#[tokio::test]
async fn garbage_is_cut_off_at_512_bytes() {
    let rig = Rig::start().await;
    for (length, open) in [(511, true), (512, false), (513, false)] {
        let mut client = rig.connect().await;
        client.send(&vec![b'x'; length]).await;
        if open {
            client.is_quiet().await;
        } else {
            client.is_closed().await;
        }
    }
}

#[tokio::test]
async fn wrong_methods_and_paths_are_rejected_with_a_reason() {
    let rig = Rig::start().await;
    let head = "HTTP/1.1\r\nHost: edge.example\r\nContent-Length: 0\r\n\r\n";
    let answer = ask(&rig, &format!("GET /_minerva/io/ {head}")).await;
    assert_eq!(answer.status, 405);
    assert!(answer.head.contains("allow: post, options\r\n"), "{}", answer.head);
    let answer = ask(&rig, &format!("POST /_minerva/io/x {head}")).await;
    assert_eq!(answer.status, 404);
    for path in ["POST /_minerva/Default/io/", "GET /_minerva/a.b/ws", "POST /_minerva//io/"] {
        let answer = ask(&rig, &format!("{path} {head}")).await;
        assert_eq!(answer.status, 404, "{path}");
        assert!(answer.body.contains("a service name is 1 to 64 of a-z"), "{}", answer.body);
    }
    let answer = ask(&rig, &format!("POST /_minerva/ws {head}")).await;
    assert_eq!(answer.status, 405);
    assert!(answer.head.contains("allow: get, options\r\n"), "{}", answer.head);
    let answer = ask(&rig, &format!("POST / {head}")).await;
    assert_eq!(answer.status, 405);
    assert!(answer.head.contains("allow: get, head, options\r\n"), "{}", answer.head);
    assert_eq!(ask(&rig, &format!("OPTIONS / {head}")).await.status, 204);
    let answer = ask(&rig, &format!("GET /_minerva/ws {head}")).await;
    assert_eq!(answer.status, 426);
    let answer = ask(&rig, &format!("OPTIONS /_minerva/io/ {head}")).await;
    assert_eq!(answer.status, 204);
    let answer = ask(&rig, &format!("POST /_minerva/io/ {head}")).await;
    assert_eq!(answer.status, 400);
    assert!(answer.body.contains("hello"), "{}", answer.body);
    let answer = ask(&rig, "NONSENSE\r\n\r\n").await;
    assert_eq!(answer.status, 400);
}

#[tokio::test]
async fn pages_have_tags() {
    let rig = Rig::start().await;
    let answer = ask(&rig, "GET / HTTP/1.1\r\nHost: e\r\n\r\n").await;
    assert_eq!((answer.status, answer.body.as_str()), (200, "<p>hi</p>"));
    let tag = answer.head.lines().find_map(|line| line.strip_prefix("etag: ")).unwrap().to_owned();
    let request = format!("GET / HTTP/1.1\r\nHost: e\r\nIf-None-Match: \"x\", {tag}\r\n\r\n");
    assert_eq!(ask(&rig, &request).await.status, 304);
    let mut client = rig.connect().await;
    client.send(b"HEAD / HTTP/1.0\r\n\r\n").await;
    let head = client.until("\r\n\r\n").await;
    assert!(head.contains("200 OK"), "{head}");
    client.is_closed().await;
}

#[tokio::test]
async fn the_web_client_is_compressed_for_clients_that_accept_gzip() {
    let rig = Rig::start().await;
    let get = |lines: &str| format!("GET /_minerva/client.js HTTP/1.0\r\nHost: e\r\n{lines}\r\n");
    let head = |answer: &str, name: &str| {
        let mut lines = answer.split("\r\n\r\n").next().unwrap_or_default().lines();
        lines.find_map(|line| line.strip_prefix(&format!("{name}: ")).map(str::to_owned))
    };
    let request = async |request: String| {
        let mut client = rig.connect().await;
        client.send(request.as_bytes()).await;
        String::from_utf8_lossy(&client.rest().await).into_owned()
    };
    let plain = request(get("")).await;
    let gzip = request(get("Accept-Encoding: br, gzip\r\n")).await;
    for (answer, coding) in [(&plain, None), (&gzip, Some("gzip"))] {
        assert!(answer.contains(" 200 OK\r\n"), "{}", &answer[..200]);
        assert_eq!(head(answer, "content-encoding").as_deref(), coding);
        assert_eq!(head(answer, "vary").as_deref(), Some("accept-encoding"));
    }
    let length = |answer: &str| {
        head(answer, "content-length").and_then(|length| length.parse::<usize>().ok())
    };
    assert!(length(&gzip) < length(&plain).map(|length| length / 2), "{:?}", length(&gzip));
    let (plain_tag, gzip_tag) = (head(&plain, "etag").unwrap(), head(&gzip, "etag").unwrap());
    assert_ne!(plain_tag, gzip_tag);

    let only_head = request(get("Accept-Encoding: gzip\r\n").replace("GET", "HEAD")).await;
    assert_eq!(length(&only_head), length(&gzip));
    assert_eq!(head(&only_head, "content-encoding").as_deref(), Some("gzip"));
    assert!(only_head.ends_with("\r\n\r\n"), "no body");

    // Each representation is validated by its own tag.
    let known = format!("Accept-Encoding: gzip\r\nIf-None-Match: {gzip_tag}\r\n");
    let not_modified = request(get(&known)).await;
    assert!(not_modified.contains(" 304 "), "{not_modified}");
    assert_eq!(head(&not_modified, "etag"), Some(gzip_tag.clone()));
    assert_eq!(head(&not_modified, "vary").as_deref(), Some("accept-encoding"));
    let weak = format!("Accept-Encoding: gzip\r\nIf-None-Match: W/{gzip_tag}\r\n");
    assert!(request(get(&weak)).await.contains(" 304 "));
    assert!(request(get(&format!("If-None-Match: {plain_tag}\r\n"))).await.contains(" 304 "));
    let other = format!("Accept-Encoding: gzip\r\nIf-None-Match: {plain_tag}\r\n");
    assert!(request(get(&other)).await.contains(" 200 OK"));
}

#[tokio::test]
async fn a_foreign_page_is_refused_before_its_body_is_read() {
    let mut rig = Rig::start().await;
    let head = "POST /_minerva/io/ HTTP/1.1\r\nHost: edge.example\r\nContent-Length: 100\r\n";
    let answer = ask(&rig, &format!("{head}Origin: https://evil.example\r\n\r\n")).await;
    assert_eq!(answer.status, 403);
    // The page may read the reason, but no cookies are accepted.
    assert!(answer.head.contains("access-control-allow-origin: *\r\n"), "{}", answer.head);
    assert!(!answer.head.contains("access-control-allow-credentials"), "{}", answer.head);
    let preflight = head.replace("POST", "OPTIONS").replace("Content-Length: 100\r\n", "");
    let answer = ask(&rig, &format!("{preflight}Origin: https://evil.example\r\n\r\n")).await;
    assert_eq!(answer.status, 204, "without a preflight the browser hides the reason");
    assert!(answer.head.contains("access-control-allow-origin: *\r\n"), "{}", answer.head);
    let ws = "GET /_minerva/ws HTTP/1.1\r\nHost: edge.example\r\nOrigin: null\r\n";
    let ws = format!("{ws}Connection: upgrade\r\nUpgrade: websocket\r\n\r\n");
    assert_eq!(ask(&rig, &ws).await.status, 403);
    rig.core.expect_silence().await;
    let mut client = rig.connect().await;
    client.post("/_minerva/io/", &["Z"], "Origin: http://edge.example\r\n").await;
    let answer = client.answer().await;
    assert_eq!(answer.status, 200);
    let allowed = "access-control-allow-origin: http://edge.example\r\n";
    assert!(answer.head.contains(allowed), "{}", answer.head);
}

#[tokio::test]
async fn listed_pages_pass_the_preflight() {
    let origins = vec!["https://app.example".to_owned()];
    let config = Config { origins, require_origin: true, ..Config::default() };
    let rig = Rig::with(config).await;
    let head = "OPTIONS /_minerva/io/ HTTP/1.1\r\nHost: edge.example\r\n";
    let answer = ask(&rig, &format!("{head}Origin: https://app.example\r\n\r\n")).await;
    assert_eq!(answer.status, 204);
    for line in [
        "access-control-allow-origin: https://app.example\r\n",
        "access-control-allow-methods: post\r\n",
        "access-control-allow-headers: content-type\r\n",
        "access-control-allow-credentials: true\r\n",
        "vary: origin\r\n",
    ] {
        assert!(answer.head.contains(line), "{line}: {}", answer.head);
    }
    let mut client = rig.post(&["Z"]).await;
    assert_eq!(client.answer().await.status, 403, "no origin at all");
}

#[tokio::test]
async fn a_page_can_do_without_credentials_on_every_transport() {
    let pass_headers = vec!["cookie".to_owned(), "user-agent".to_owned()];
    let config = Config { pass_headers, ..Config::default() };
    let mut rig = Rig::with(config).await;
    let head = "Cookie: session=secret\r\nUser-Agent: test\r\n";
    for (query, names) in [
        ("", &["cookie", "user-agent"][..]),
        ("?credentials=include", &["cookie", "user-agent"]),
        ("?credentials=omit", &["user-agent"]),
    ] {
        let mut client = rig.connect().await;
        client
            .post(&format!("/_minerva/io/{query}"), &[&hello("\"new\":true,\"ming\":false")], head)
            .await;
        let attach = rig.core.attach().await;
        let mut passed: Vec<_> = attach.headers.iter().map(|header| header.name.as_str()).collect();
        passed.sort_unstable();
        assert_eq!(passed, names, "{query}");
        drop(client);
        rig.core.detach().await;
    }
}

#[tokio::test]
async fn a_request_head_is_at_most_16_kib() {
    let rig = Rig::start().await;
    for (length, status) in [(16 * 1024 - 1, 200), (16 * 1024, 200), (16 * 1024 + 1, 431)] {
        let head = "GET / HTTP/1.1\r\nHost: e\r\nX: \r\n\r\n";
        let filler = "x".repeat(length - head.len());
        let head = head.replace("X: ", &format!("X: {filler}"));
        assert_eq!(head.len(), length);
        assert_eq!(ask(&rig, &head).await.status, status, "{length}");
    }
}

#[tokio::test]
async fn a_request_has_at_most_64_headers() {
    let rig = Rig::start().await;
    for (count, status) in [(63, 200), (64, 200), (65, 431)] {
        let headers: String = (1..count).map(|number| format!("X-{number}: 1\r\n")).collect();
        let request = format!("GET / HTTP/1.1\r\nHost: e\r\n{headers}\r\n");
        assert_eq!(ask(&rig, &request).await.status, status, "{count}");
    }
}

#[tokio::test]
async fn http_1_0_and_chunked_bodies_work() {
    let mut rig = Rig::start().await;
    let body = format!("{}\n", hello("\"ming\":false"));
    let (length, body_hex) = (body.len(), format!("{:x}", body.len()));
    let old = format!("POST /_minerva/io/ HTTP/1.0\r\nContent-Length: {length}\r\n\r\n{body}");
    let head = "POST /_minerva/io/ HTTP/1.1\r\nHost: e\r\nTransfer-Encoding: chunked\r\n\r\n";
    let chunked = format!("{head}{body_hex}\r\n{body}\r\n3\r\na \n\r\n0\r\n\r\n");
    for (request, closes) in [(old, true), (chunked, false)] {
        let mut client = rig.connect().await;
        client.send(request.as_bytes()).await;
        let attach = rig.core.attach().await;
        assert!(attach.batch.unwrap().end.is_some(), "one batch");
        rig.core.close(attach.transport, -1).await;
        assert_eq!(client.answer().await.body, ";)]}^\n|-1A\n|-1T\n");
        rig.core.detach().await;
        if closes {
            client.is_closed().await;
        }
    }
}

#[tokio::test]
async fn a_streamed_response_to_http_1_0_ends_with_the_connection() {
    let mut rig = Rig::start().await;
    let body = format!("{}\n", hello("\"ming\":true,\"eeds\":null,\"new\":true"));
    let mut client = rig.connect().await;
    let head = format!("POST /_minerva/io/ HTTP/1.0\r\nContent-Length: {}\r\n\r\n", body.len());
    client.send(format!("{head}{body}").as_bytes()).await;
    let attach = rig.core.attach().await;
    rig.core.opened(attach.transport, true).await;
    let head = client.until(";)]}^\nC\n").await.to_lowercase();
    assert!(!head.contains("chunked") && !head.contains("content-length"), "{head}");
    rig.core.close(attach.transport, -1).await;
    client.until("|-1A\n|-1T\n").await;
    client.is_closed().await;
}

#[tokio::test]
async fn connections_beyond_the_limit_wait() {
    let config = Config { max_connections: 2, ..Config::default() };
    let rig = Rig::with(config).await;
    let mut first = rig.tcp(&["Z"]).await;
    let mut second = rig.tcp(&["Z"]).await;
    first.until("Y").await;
    second.until("Y").await;
    let mut third = rig.tcp(&["Z"]).await;
    third.is_quiet().await;
    drop(first);
    third.until("Y").await;
}

#[tokio::test]
async fn silence_is_cut_off_after_5_seconds() {
    let rig = Rig::start().await;
    let mut client = rig.connect().await;
    let closing = tokio::time::timeout(Duration::from_secs(8), client.is_closed());
    let early = tokio::time::timeout(Duration::from_millis(4500), closing).await;
    assert!(early.is_err(), "too early");
    client.is_closed().await;
}

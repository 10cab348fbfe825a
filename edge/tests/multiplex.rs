//! Multiplexed exchanges through a running edge with a scripted core: several transports in one HTTP request.
#![allow(clippy::unwrap_used, reason = "these are tests, too")]

mod support;

use minerva_edge::Config;
use minerva_proto::link::pb as wire;
use support::{Client, ID, Rig, hello};

const OTHER: &str = "zyxwvutsrqponmlkjihgfedcba";

/// A request of these parts: channel, service and frames.
fn body(mode: &str, parts: &[(u32, &str, &[&str])]) -> String {
    let mut body = format!("{mode}\n");
    for (channel, service, frames) in parts {
        let frames: String = frames.iter().map(|frame| format!("{frame}\n")).collect();
        let space = if service.is_empty() { "" } else { " " };
        body += &format!("{channel} {}{space}{service}\n{frames}", frames.len());
    }
    body
}

async fn post(rig: &Rig, body: &str) -> Client {
    post_to(rig, "/_minerva/mux/", "", body).await
}

async fn post_to(rig: &Rig, path: &str, headers: &str, body: &str) -> Client {
    let mut client = rig.connect().await;
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: e\r\n{headers}Content-Length: {}\r\n\r\n",
        body.len()
    );
    client.send(format!("{head}{body}").as_bytes()).await;
    client
}

/// The next two attaches: of stream `ID`, and of stream `OTHER`.
async fn two_attaches(rig: &mut Rig) -> (wire::Attach, wire::Attach) {
    let (one, two) = (rig.core.attach().await, rig.core.attach().await);
    if one.stream_id == ID { (one, two) } else { (two, one) }
}

fn other(keys: &str) -> String {
    hello(keys).replace(ID, OTHER)
}

#[tokio::test]
async fn one_response_interleaves_the_transports_of_two_streams() {
    let mut rig = Rig::start().await;
    let keys = "\"ming\":true,\"eeds\":null";
    let parts = body("stream", &[(1, "", &[&hello(keys)]), (2, "chat", &[&other(keys), "a "])]);
    let mut client = post(&rig, &parts).await;
    let (one, two) = two_attaches(&mut rig).await;
    assert_eq!((one.service.as_str(), two.service.as_str()), ("default", "chat"));
    assert_eq!(two.kind(), wire::TransportKind::HttpStream);
    rig.core.opened(one.transport, false).await;
    rig.core.opened(two.transport, false).await;
    rig.core.messages(two.transport, 0, &["x"]).await;
    client.until("2 12\n;)]}^\n0N\nx \n").await;
    rig.core.messages(one.transport, 0, &["y"]).await;
    client.until("1 12\n;)]}^\n0N\ny \n").await;
    rig.core.close(one.transport, -1).await;
    client.until("1 end 200 0\n").await;
    rig.core.messages(two.transport, 1, &["z"]).await;
    client.until("z \n").await;
    rig.core.close(two.transport, -1).await;
    client.until("2 end 200 0\n\r\n0\r\n\r\n").await;
}

#[tokio::test]
async fn a_poll_ends_with_its_first_channel() {
    let mut rig = Rig::start().await;
    let keys = "\"ming\":false,\"eeds\":null";
    let mut client =
        post(&rig, &body("poll", &[(1, "", &[&hello(keys)]), (2, "", &[&other(keys)])])).await;
    let (one, two) = two_attaches(&mut rig).await;
    rig.core.opened(one.transport, false).await;
    rig.core.opened(two.transport, false).await;
    rig.core.messages(two.transport, 0, &["x"]).await;
    rig.core.close(two.transport, -1).await;
    let answer = client.until("\r\n0\r\n\r\n").await;
    assert!(answer.contains("x \n") && answer.contains("2 end 200 0\n"), "{answer}");
    assert!(!answer.contains("1 end"), "{answer}");
    while rig.core.detach().await != one.transport {}
}

#[tokio::test]
async fn a_poll_delivers_every_response_that_has_begun() {
    const LENGTH: usize = 900_000;
    let mut rig = Rig::start().await;
    let keys = "\"ming\":false,\"eeds\":null";
    let mut client =
        post(&rig, &body("poll", &[(1, "", &[&hello(keys)]), (2, "", &[&other(keys)])])).await;
    let (one, two) = two_attaches(&mut rig).await;
    // Longer than the buffers of the connection, so that the client receives them later than both have ended.
    for transport in [one.transport, two.transport] {
        rig.core.opened(transport, false).await;
        rig.core.messages(transport, 0, &[&"Z".repeat(LENGTH)]).await;
        rig.core.close(transport, -1).await;
    }
    tokio::time::sleep(support::QUIET).await;
    let answer = client.until("\r\n0\r\n\r\n").await;
    for end in ["1 end 200 0\n", "2 end 200 0\n"] {
        assert!(answer.contains(end), "{end}");
    }
    assert_eq!(answer.matches('Z').count(), 2 * LENGTH);
}

#[tokio::test]
async fn a_disconnect_detaches_all_transports() {
    let mut rig = Rig::start().await;
    let keys = "\"ming\":true,\"eeds\":null";
    let client =
        post(&rig, &body("stream", &[(1, "", &[&hello(keys)]), (2, "", &[&other(keys)])])).await;
    let (one, two) = two_attaches(&mut rig).await;
    rig.core.opened(one.transport, false).await;
    rig.core.opened(two.transport, false).await;
    drop(client);
    let mut detached = [rig.core.detach().await, rig.core.detach().await];
    detached.sort_unstable();
    let mut transports = [one.transport, two.transport];
    transports.sort_unstable();
    assert_eq!(detached, transports);
}

#[tokio::test]
async fn a_refused_part_has_its_status_and_leaves_the_others() {
    let mut rig = Rig::start().await;
    let parts = body(
        "stream",
        &[(1, "", &["no hello"]), (2, "", &[]), (3, "", &[&hello("\"ming\":false")])],
    );
    let mut client = post(&rig, &parts).await;
    let attach = rig.core.attach().await;
    rig.core.opened(attach.transport, true).await;
    rig.core.close(attach.transport, -1).await;
    let answer = client.until("\r\n0\r\n\r\n").await;
    for end in ["1 end 200 0\n", "2 end 400 0\n", "3 end 200 0\n"] {
        assert!(answer.contains(end), "{answer}");
    }
}

/// The response to a request of which one part only reaches the core.
async fn response_with_one_attach(rig: &mut Rig, path: &str, parts: &str) -> (String, String) {
    let mut client = post_to(rig, path, "", parts).await;
    let attach = rig.core.attach().await;
    rig.core.opened(attach.transport, true).await;
    rig.core.close(attach.transport, -1).await;
    (attach.service, client.until("\r\n0\r\n\r\n").await)
}

#[tokio::test]
async fn an_invalid_service_name_ends_its_part_only() {
    let mut rig = Rig::start().await;
    let hello = hello("\"ming\":false");
    let parts = body("stream", &[(1, "Chat", &[&hello]), (2, "", &[&hello]), (3, "a.b", &[])]);
    let (service, answer) = response_with_one_attach(&mut rig, "/_minerva/mux/", &parts).await;
    assert_eq!(service, "default");
    for end in ["1 end 404 0\n", "2 end 200 0\n", "3 end 404 0\n"] {
        assert!(answer.contains(end), "{answer}");
    }
}

#[tokio::test]
async fn a_part_names_no_service_below_the_path_of_one() {
    let mut rig = Rig::start().await;
    let hello = hello("\"ming\":false");
    let parts = body("stream", &[(1, "admin", &[&hello]), (2, "", &[&hello])]);
    let (service, answer) = response_with_one_attach(&mut rig, "/_minerva/chat/mux/", &parts).await;
    assert_eq!(service, "chat");
    for end in ["1 end 404 0\n", "2 end 200 0\n"] {
        assert!(answer.contains(end), "{answer}");
    }
}

#[tokio::test]
async fn each_part_of_a_request_counts_for_the_limit_of_its_address() {
    const LIMIT: u32 = 3;
    // Trusts another proxy, or these clients: their requests then have no permit of the connection.
    for (proxy, headers) in [("203.0.113.1", ""), ("127.0.0.1", "X-Forwarded-For: 192.0.2.1\r\n")] {
        let mut rig = Rig::with(Config {
            trust_forwarded_for: vec![proxy.to_owned()],
            max_connections_per_address: LIMIT,
            ..Config::default()
        })
        .await;
        for parts in [LIMIT - 1, LIMIT, LIMIT + 1] {
            let hello = hello("\"ming\":true,\"eeds\":null");
            let frames = [hello.as_str()];
            let all: Vec<_> = (1..=parts).map(|channel| (channel, "", &frames[..])).collect();
            let request = body("stream", &all);
            let mut client = post_to(&rig, "/_minerva/mux/", headers, &request).await;
            for _ in 0..parts.min(LIMIT) {
                rig.core.attach().await;
            }
            if parts > LIMIT {
                client.until(&format!("{parts} end 429 10\n")).await;
                rig.counts("refused_total{limit=\"connections\"}", 1).await;
            } else {
                rig.counts("refused_total{limit=\"connections\"}", 0).await;
            }
            drop(client);
            for _ in 0..parts.min(LIMIT) {
                rig.core.detach().await;
            }
            rig.counts("connections", 0).await;
        }
    }
}

#[tokio::test]
async fn malformed_and_long_requests_are_refused() {
    let rig = Rig::start().await;
    for (body, status) in
        [("stream\n".to_owned(), 400), (format!("poll\n{}", "x".repeat(256 * 1024)), 413)]
    {
        assert_eq!(post(&rig, &body).await.answer().await.status, status);
    }
    let fits = format!("stream\n1 {}\n", 256 * 1024 - 16);
    let fits = format!("{fits}{}", "\n".repeat(256 * 1024 - 16));
    assert_eq!(fits.len(), 256 * 1024 - 16 + "stream\n1 262128\n".len());
    assert_eq!(post(&rig, &fits).await.until(" OK").await, "HTTP/1.1 200 OK");
    let mut client = rig.connect().await;
    client.send(b"GET /_minerva/mux/ HTTP/1.1\r\nHost: e\r\n\r\n").await;
    assert_eq!(client.answer().await.status, 405);
}

#[tokio::test]
async fn the_connection_is_usable_behind_a_long_refused_request() {
    let rig = Rig::start().await;
    let mut client = post(&rig, &format!("poll\n{}", "x".repeat(2 << 20))).await;
    assert_eq!(client.answer().await.status, 413);
    client.post("/_minerva/mux/", &[], "").await;
    assert_eq!(client.answer().await.status, 400);
}

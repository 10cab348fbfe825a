//! Selection of the version, and refusals before a transport exists.

use futures_util::StreamExt;
use minerva_edge::Config;
use minerva_proto::v3::{Frame, Refusal, RefusalCode};
use tokio_tungstenite::tungstenite::Message;

use crate::client::{self, Kind, json};
use crate::support::Rig;
use crate::{rig, rig_of};

/// The bytes with which an edge answers a hello on TCP, or the body of its HTTP response.
pub(crate) async fn answer_to(rig: &Rig, kind: Kind, json: &str) -> Vec<u8> {
    let mut connection = rig.connect().await;
    if kind == Kind::Tcp {
        connection.send(b"<int32/>\n").await;
        connection.frames(&[&format!("{json}H")]).await;
        while !connection.read.ends_with(b"Y") {
            assert!(connection.more().await);
        }
        return std::mem::take(&mut connection.read);
    }
    let headers = "Content-Type: application/octet-stream\r\n";
    connection.post("/_minerva/io/", &[&format!("{json}H")], headers).await;
    connection.answer().await.body.into_bytes()
}

#[tokio::test]
async fn the_subprotocol_is_the_newest_common_one() {
    for (core, offered, selected) in [
        (3, "minerva.3, minerva.2", Some("minerva.3")),
        (3, "minerva.2, minerva.3", Some("minerva.3")),
        (3, "minerva.3", Some("minerva.3")),
        (3, "minerva.2", Some("minerva.2")),
        (2, "minerva.3, minerva.2", Some("minerva.2")),
    ] {
        let rig = rig_of(core, Config::default()).await;
        let (_socket, answer) = client::websocket(&rig, offered, "").await;
        assert_eq!(answer.as_deref(), selected, "core {core}, {offered}");
    }
}

#[tokio::test]
async fn an_edge_needs_the_option_itself() {
    let mut rig = Rig::unlinked(Config::default()).await;
    let hello = minerva_proto::link::greeting::core_hello(
        "core-1".to_owned(),
        1,
        minerva_proto::PartitionHash::UNKEYED,
    );
    rig.core.introduce_as(crate::wire::CoreHello { wire_version: 3, ..hello }).await;
    rig.core.owns(&[(0, 1)]).await;
    rig.is_hindered_by(None).await;
    let (_socket, answer) = client::websocket(&rig, "minerva.3, minerva.2", "").await;
    assert_eq!(answer.as_deref(), Some("minerva.2"));
}

#[tokio::test]
async fn a_hello_of_version_3_needs_the_content_type() {
    let rig = rig().await;
    for (content_type, status) in [
        ("", 415),
        ("Content-Type: text/plain\r\n", 415),
        ("Content-Type: application/x-www-form-urlencoded\r\n", 415),
        ("Content-Type: application/octet-stream, text/plain\r\n", 415),
    ] {
        let mut connection = rig.connect().await;
        let hello = format!("{}H", json(Kind::LongPoll, ""));
        connection.post("/_minerva/io/", &[&hello], content_type).await;
        assert_eq!(connection.answer().await.status, status, "{content_type}");
    }
}

#[tokio::test]
async fn version_2_goes_on_beside_version_3() {
    let mut rig = rig().await;
    let hello = crate::support::hello("\"ming\":false,\"new\":true");
    for content_type in ["", "Content-Type: application/octet-stream\r\n"] {
        let mut connection = rig.connect().await;
        connection.post("/_minerva/io/", &[&hello, "a "], content_type).await;
        let transport = rig.core.attach().await.transport;
        rig.core.opened(transport, true).await;
        rig.core.close(transport, 0).await;
        let answer = connection.answer().await;
        assert_eq!((answer.status, answer.body.as_str()), (200, ";)]}^\nC\n|0A\n|-1T\n"));
        assert!(answer.head.contains("content-type: text/plain"), "{}", answer.head);
        rig.core.detach().await;
    }
}

/// Reads the refusal and the close code of a WebSocket.
async fn refusal(rig: &Rig, origin: &str) -> (Option<RefusalCode>, Option<u16>) {
    let (mut socket, selected) = client::websocket(rig, "minerva.3, minerva.2", origin).await;
    assert_eq!(selected.as_deref(), Some("minerva.3"));
    let (mut code, mut closed) = (None, None);
    while let Some(Ok(message)) = socket.next().await {
        if let Message::Close(frame) = message {
            closed = frame.map(|frame| frame.code.into());
        } else {
            let bytes = message.into_data();
            let raw = minerva_proto::v3::cut(&mut bytes[..].into(), 1 << 20).unwrap().unwrap();
            let Frame::Refusal(refusal) = Frame::decode(raw).unwrap() else { panic!() };
            code = refusal.code();
        }
    }
    (code, closed)
}

#[tokio::test]
async fn a_foreign_origin_reads_its_refusal() {
    let foreign = "https://foreign.example";
    let rig = rig().await;
    assert_eq!(refusal(&rig, foreign).await, (Some(RefusalCode::Origin), Some(4403)));
    let without = rig_of(2, Config::default()).await;
    for (rig, serves) in [(&rig, true), (&without, false)] {
        for content_type in ["text/plain", "application/octet-stream"] {
            let headers = format!("Origin: {foreign}\r\nContent-Type: {content_type}\r\n");
            let mut connection = rig.connect().await;
            connection.post("/_minerva/io/", &["x"], &headers).await;
            let answer = connection.answer().await;
            assert_eq!(answer.status, 403);
            assert!(answer.head.contains("access-control-allow-origin: *"), "{}", answer.head);
            // A client of version 2 gets the text only.
            let code = Refusal::parse(answer.body.as_bytes()).and_then(|refusal| refusal.code());
            let is_version_3 = serves && content_type == "application/octet-stream";
            assert_eq!(code, is_version_3.then_some(RefusalCode::Origin), "{}", answer.body);
            assert!(answer.body.contains("this origin may not use this service"));
        }
        let mut connection = rig.connect().await;
        let request = format!(
            "OPTIONS /_minerva/io/ HTTP/1.1\r\nHost: e\r\nOrigin: {foreign}\r\n\
             Access-Control-Request-Method: POST\r\n\r\n"
        );
        connection.send(request.as_bytes()).await;
        let answer = connection.answer().await;
        assert_eq!(answer.status, 204);
        assert!(answer.head.contains("access-control-allow-origin: *"), "{}", answer.head);
        assert!(answer.head.contains("access-control-allow-headers: content-type"));
        assert!(!answer.head.contains("allow-credentials"));
    }
}

#[tokio::test]
async fn too_many_connections_are_busy() {
    let rig = rig_of(
        3,
        Config {
            max_connections_per_address: 1,
            trust_forwarded_for: vec!["127.0.0.1".to_owned()],
            ..Config::default()
        },
    )
    .await;
    let open = |rig: &Rig| {
        let address = rig.address;
        async move {
            let mut connection = crate::support::Client {
                stream: tokio::net::TcpStream::connect(address).await.unwrap(),
                read: Vec::new(),
            };
            let headers =
                "X-Forwarded-For: 192.0.2.1\r\nContent-Type: application/octet-stream\r\n";
            let hello = format!("{}H", json(Kind::HttpStream, r#","eeds":null"#));
            connection.post("/_minerva/io/", &[&hello], headers).await;
            connection
        }
    };
    let _first = open(&rig).await;
    rig.counts("transports_total{kind=\"http_stream\"}", 1).await;
    let answer = open(&rig).await.answer().await;
    assert_eq!(answer.status, 429);
    assert!(answer.head.contains("retry-after: "), "{}", answer.head);
    let refusal = Refusal::parse(answer.body.as_bytes()).unwrap();
    assert_eq!(refusal.code(), Some(RefusalCode::Busy));
    assert!(refusal.after.is_some());
}

#[tokio::test]
async fn an_invalid_service_name_has_a_reason() {
    let rig = rig().await;
    let mut connection = rig.connect().await;
    let headers = "Content-Type: application/octet-stream\r\n";
    connection.post("/_minerva/No.Name/io/", &["x"], headers).await;
    let answer = connection.answer().await;
    assert_eq!(answer.status, 404);
    let refusal = Refusal::parse(answer.body.as_bytes()).unwrap();
    assert_eq!(refusal.code(), Some(RefusalCode::Service));
}

#[tokio::test]
async fn a_page_can_read_that_its_address_has_too_many_connections() {
    let rig = rig_of(
        3,
        Config {
            trust_forwarded_for: vec!["203.0.113.1".to_owned()],
            max_connections_per_address: 1,
            origins: vec!["https://a.example".to_owned()],
            ..Config::default()
        },
    )
    .await;
    let _first = rig.connect().await;
    for content_type in ["text/plain", "application/octet-stream"] {
        let mut connection = rig.connect().await;
        let headers = format!("Origin: https://a.example\r\nContent-Type: {content_type}\r\n");
        connection.post("/_minerva/io/", &["x"], &headers).await;
        let answer = connection.answer().await;
        assert_eq!(answer.status, 429, "{content_type}");
        for header in ["access-control-allow-origin: https://a.example", "connection: close"] {
            assert!(answer.head.contains(header), "{content_type}: {}", answer.head);
        }
        connection.is_closed().await;
    }
}

//! Compression of a backlog: bytes on the wire with and without the permission of the application.

use std::fmt::Write as _;

use minerva_client::{Message, Stream, TransportKind};

use crate::breaking_proxy::BreakingProxy;
use crate::config;
use crate::messages::Random;
use crate::program::Program;

/// Messages of the backlog, about 4 MB.
const MESSAGES: usize = 20_000;

/// Positions of vehicles as JSON, about 200 bytes each.
fn backlog() -> impl Iterator<Item = String> {
    let mut random = Random::new(7);
    (0..MESSAGES).map(move |number| {
        let (vehicle, line) = (random.below(200), random.below(30));
        let mut json = String::new();
        let (latitude, longitude) = (random.below(10_000), random.below(10_000));
        write!(
            json,
            r#"{{"type":"position","number":{number},"vehicle":"tram-{vehicle}","line":"{line}","operator":"city-transport","occupancy":"many_seats_available","position":{{"latitude":48.{latitude:04},"longitude":11.{longitude:04}}},"delay":{}}}"#,
            line % 4
        )
        .unwrap();
        json
    })
}

/// Bytes of the server on the wire until the client has the backlog.
async fn received_bytes(program: &Program, kind: TransportKind, compress: bool) -> usize {
    let mut service = program.echo().await;
    let proxy = BreakingProxy::unbroken(program.clients).await;
    let stream = Stream::connect(config(proxy.address, kind)).unwrap();
    let sender = service.served().await;
    sender.set_compression(compress);
    let sending = tokio::spawn(async move {
        for message in backlog() {
            sender.send(message).await.unwrap();
        }
    });
    for expected in backlog() {
        assert_eq!(stream.recv().await, Some(Message::from(expected)), "{kind}");
    }
    sending.await.unwrap();
    assert_eq!(stream.counters().reconnects, 0, "{kind}");
    proxy.server_bytes()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_permitted_backlog_of_json_takes_a_quarter_of_the_bytes() {
    let program = Program::start();
    let plain = received_bytes(&program, TransportKind::WebSocket, false).await;
    let content: usize = backlog().map(|message| message.len()).sum();
    assert!(plain >= content, "{plain} of {content} bytes without permission");
    for kind in TransportKind::ALL {
        let compressed = received_bytes(&program, kind, true).await;
        println!("{kind}: {plain} bytes plain, {compressed} compressed");
        assert!(compressed * 4 <= plain, "{kind}: {compressed} of {plain} bytes");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_client_compresses_its_messages_by_option() {
    let program = Program::start();
    let _service = program.echo().await;
    for kind in TransportKind::ALL {
        let proxy = BreakingProxy::unbroken(program.clients).await;
        let mut config = config(proxy.address, kind);
        config.compress = true;
        let stream = Stream::connect(config).unwrap();
        // The welcome permits compression.
        stream.ready().await.unwrap();
        let sender = stream.clone();
        let sending = tokio::spawn(async move {
            for message in backlog().take(5_000) {
                sender.queue(message).await.unwrap();
            }
            sender.flush().await.unwrap();
        });
        let mut content = 0;
        for expected in backlog().take(5_000) {
            content += expected.len();
            assert_eq!(stream.recv().await, Some(Message::from(expected)), "{kind}");
        }
        sending.await.unwrap();
        let sent = proxy.client_bytes();
        println!("{kind}: {content} bytes of content, {sent} sent");
        assert!(sent * 2 < content, "{kind}: {sent} of {content} bytes");
    }
}

//! WebSocket transports: handshake, valid messages and the closing handshake.

mod support;

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use minerva_proto::link::pb as wire;
use support::{Client, Rig, hello, texts};
use tokio::io::AsyncWriteExt;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

/// Shorter than the time limit for a client's close.
const SOON: Duration = Duration::from_secs(5);

#[tokio::test]
async fn frames_travel_in_websocket_messages() {
    let mut rig = Rig::start().await;
    let mut request =
        format!("ws://{}/_minerva/chat/ws", rig.address).into_client_request().unwrap();
    let protocols = "other, minerva.2".parse().unwrap();
    request.headers_mut().insert("sec-websocket-protocol", protocols);
    let stream = tokio::net::TcpStream::connect(rig.address).await.unwrap();
    let (mut socket, response) = tokio_tungstenite::client_async(request, stream).await.unwrap();
    assert_eq!(response.headers()["sec-websocket-protocol"], "minerva.2");
    let first = format!("{}\na \n", hello("\"ming\":true,\"new\":true,\"eeds\":null"));
    socket.send(Message::text(first)).await.unwrap();
    let attach = rig.core.attach().await;
    assert_eq!((attach.kind(), attach.service.as_str()), (wire::TransportKind::Websocket, "chat"));
    assert_eq!(texts(&attach.batch.unwrap()), [(0, vec!["a".to_owned()])]);
    rig.core.opened(attach.transport, true).await;
    let text = |message: Option<Result<Message, _>>| message.unwrap().unwrap().into_text().unwrap();
    assert_eq!(text(socket.next().await), "C\n");
    rig.core.messages(attach.transport, 0, &["x", "y"]).await;
    assert_eq!(text(socket.next().await), "0N\nx \ny \n");
    socket.send(Message::binary("b ")).await.unwrap();
    let end = rig.core.batch().await.end.unwrap();
    assert_eq!(end.kill(), wire::KillReason::FrameCorruption);
    rig.core.close(attach.transport, 0).await;
    assert_eq!(text(socket.next().await), "|0A\n|-1T\nY\n");
    rig.core.detach().await;
    socket.close(None).await.unwrap();
    while let Some(Ok(message)) = socket.next().await {
        assert!(message.is_close(), "{message:?}");
    }
}

/// A client that does not close the WebSocket itself.
#[tokio::test]
async fn a_binary_message_is_answered_by_a_kill_and_at_the_end_by_close_code_1003() {
    let rig = Rig::start().await;
    let url = format!("ws://{}/_minerva/ws", rig.address);
    let stream = tokio::net::TcpStream::connect(rig.address).await.unwrap();
    let (mut socket, _) = tokio_tungstenite::client_async(url, stream).await.unwrap();
    socket.send(Message::binary("binary")).await.unwrap();
    let kill = socket.next().await.unwrap().unwrap();
    assert_eq!(kill.into_text().unwrap(), "frame_corruptionK\nY\n");
    // The edge waits 10 s for the close of the client.
    let end = tokio::time::timeout(4 * SOON, socket.next()).await.unwrap().unwrap().unwrap();
    let Message::Close(Some(close)) = end else { panic!("{end:?}") };
    assert_eq!(u16::from(close.code), 1003);
}

#[tokio::test]
async fn a_message_that_is_too_long_is_frame_corruption() {
    for (length, good) in
        [((1 << 20) - 1, true), (1 << 20, true), ((1 << 20) + 1, false), (2 << 20, false)]
    {
        let mut rig = Rig::start().await;
        let url = format!("ws://{}/_minerva/ws", rig.address);
        let stream = tokio::net::TcpStream::connect(rig.address).await.unwrap();
        let (mut socket, _) = tokio_tungstenite::client_async(url, stream).await.unwrap();
        socket.send(Message::text(format!("{}\n", hello("\"ming\":true")))).await.unwrap();
        let attach = rig.core.attach().await;
        rig.core.opened(attach.transport, false).await;
        let frame = format!("{} \n", "x".repeat(length - 1));
        let _ = socket.send(Message::text(frame)).await;
        let batch = rig.core.batch().await;
        assert_eq!(batch.end.is_none(), good, "{length}");
        if !good {
            assert_eq!(batch.end.unwrap().kill(), wire::KillReason::FrameCorruption);
            rig.core.close(attach.transport, -1).await;
            let message = socket.next().await.unwrap().unwrap();
            assert_eq!(message.into_text().unwrap(), "|-1A\n|-1T\nY\n");
        }
    }
}

#[tokio::test]
async fn what_is_no_websocket_13_is_told_so() {
    let rig = Rig::start().await;
    let key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    let upgrade = "Host: e\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n";
    for (version, headers, status) in [
        ("1.1", format!("{upgrade}{key}Sec-WebSocket-Version: 13\r\n"), 101),
        ("1.0", format!("{upgrade}{key}Sec-WebSocket-Version: 13\r\n"), 505),
        ("1.1", format!("{upgrade}{key}Sec-WebSocket-Version: 8\r\n"), 426),
        ("1.1", format!("{upgrade}{key}"), 426),
        ("1.1", format!("{upgrade}Sec-WebSocket-Version: 13\r\n"), 400),
        ("1.1", "Host: e\r\n".to_owned(), 426),
    ] {
        let mut client = rig.connect().await;
        let request = format!("GET /_minerva/ws HTTP/{version}\r\n{headers}\r\n");
        client.send(request.as_bytes()).await;
        let answer = client.answer().await;
        assert_eq!(answer.status, status, "{request}");
        if status == 426 {
            assert!(answer.head.contains("sec-websocket-version: 13\r\n"), "{}", answer.head);
        }
    }
}

#[tokio::test]
async fn a_message_may_come_in_fragments_with_pings_between() {
    let mut rig = Rig::start().await;
    let mut client = rig.websocket().await;
    let text = format!("{}\na \n", hello("\"ming\":true"));
    let (first, rest) = text.as_bytes().split_at(20);
    client.send(&message(0x01, first)).await;
    client.send(&message(0x89, b"?")).await;
    assert_eq!(receive_short(&mut client).await, (0x8a, b"?".to_vec()));
    client.send(&message(0x80, rest)).await;
    let batch = rig.core.attach().await.batch.unwrap();
    assert_eq!(texts(&batch), [(0, vec!["a".to_owned()])]);
}

#[tokio::test]
async fn a_client_that_reads_no_pongs_is_not_read_either() {
    // Far more than the kernel buffers of both directions.
    const ENOUGH: usize = 64 << 20;
    let rig = Rig::start().await;
    let mut client = rig.websocket().await;
    let pings = message(0x89, &[b'p'; 125]).repeat(1000);
    let mut taken = 0;
    while taken < ENOUGH {
        match tokio::time::timeout(SOON, client.stream.write(&pings[taken % pings.len()..])).await {
            Ok(written) => taken += written.unwrap(),
            Err(_) => return,
        }
    }
    panic!("{taken} bytes of pings are taken");
}

#[tokio::test]
async fn a_close_is_answered_with_a_close() {
    let mut rig = Rig::start().await;
    let mut client = rig.websocket().await;
    client.send(&message(0x81, format!("{}\n", hello("\"ming\":true")).as_bytes())).await;
    rig.core.attach().await;
    client.send(&message(0x88, &1000u16.to_be_bytes())).await;
    rig.core.detach().await;
    assert_eq!(receive_short(&mut client).await, (0x88, vec![0x03, 0xe8]));
    client.is_closed().await;
}

#[tokio::test]
async fn a_client_with_an_unreadable_message_may_close_immediately() {
    for unreadable in [message(0x81, &vec![b'x'; 2 << 20]), message(0x81, b"\xff")] {
        let mut rig = Rig::start().await;
        let mut client = rig.websocket().await;
        client.send(&message(0x81, format!("{}\n", hello("\"ming\":true")).as_bytes())).await;
        let transport = rig.core.attach().await.transport;
        rig.core.opened(transport, false).await;
        client.send(&unreadable).await;
        let end = rig.core.batch().await.end.unwrap();
        assert_eq!(end.kill(), wire::KillReason::FrameCorruption);
        rig.core.close(transport, -1).await;
        assert_eq!(receive_short(&mut client).await, (0x81, b"|-1A\n|-1T\nY\n".to_vec()));
        client.is_quiet().await;
        client.stream.shutdown().await.unwrap();
        let closed = async { while client.more().await {} };
        tokio::time::timeout(SOON, closed).await.expect("the close is noticed");
    }
}

#[tokio::test]
async fn an_open_websocket_counts_as_a_connection() {
    let rig = Rig::start().await;
    assert_eq!(rig.metric("connections"), 0);
    let mut client = rig.websocket().await;
    client.send(&message(0x89, b"?")).await;
    receive_short(&mut client).await;
    assert_eq!(rig.metric("connections"), 1);
    client.send(&message(0x88, b"")).await;
    receive_short(&mut client).await;
    client.is_closed().await;
    while rig.metric("connections") > 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Encodes a WebSocket frame. `first` is the first byte: FIN (0x80) and the opcode. The mask is zero, so that the
/// payload stays readable.
fn message(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first];
    match u8::try_from(payload.len()) {
        Ok(length @ 0..126) => frame.push(0x80 | length),
        Ok(_) | Err(_) => {
            frame.push(0xff);
            frame.extend_from_slice(&(payload.len() as u64).to_be_bytes());
        }
    }
    frame.extend_from_slice(&[0; 4]);
    frame.extend_from_slice(payload);
    frame
}

/// Reads a short server frame: first byte and payload.
async fn receive_short(client: &mut Client) -> (u8, Vec<u8>) {
    loop {
        if let [first, length @ 0..126, rest @ ..] = client.read.as_slice()
            && rest.len() >= usize::from(*length)
        {
            let (first, end) = (*first, 2 + usize::from(*length));
            let frame: Vec<u8> = client.read.drain(..end).collect();
            return (first, frame[2..].to_vec());
        }
        assert!(client.more().await, "closed after {:?}", client.read);
    }
}

/// Sends a WebSocket frame with a mask of zeros. `first` is the first byte of the header.
async fn send_frame(client: &mut Client, first: u8, payload: &[u8]) {
    let mut frame = vec![first, 0xFF];
    frame.extend((payload.len() as u64).to_be_bytes());
    frame.extend([0; 4]);
    frame.extend(payload);
    client.send(&frame).await;
}

const TEXT: u8 = 0x81;
const TEXT_FRAGMENT: u8 = 0x01;
const CONTINUATION: u8 = 0x80;
const PING: u8 = 0x89;

/// Messages behind a long one, in the same packets and within the long message, arrive with new buffers.
#[tokio::test]
async fn frames_around_a_long_message_are_received() {
    let mut rig = Rig::start().await;
    let mut client = rig.websocket().await;
    let greeting = hello("\"ming\":true,\"new\":true");
    send_frame(&mut client, TEXT, format!("{greeting}\n").as_bytes()).await;
    let attach = rig.core.attach().await;
    rig.core.opened(attach.transport, true).await;
    let long = format!("{} \n", "x".repeat(100_000));
    let (head, tail) = long.as_bytes().split_at(60_000);
    for number in 0..20_u64 {
        if number % 2 == 0 {
            send_frame(&mut client, TEXT, long.as_bytes()).await;
        } else {
            send_frame(&mut client, TEXT_FRAGMENT, head).await;
            send_frame(&mut client, PING, b"now").await;
            send_frame(&mut client, CONTINUATION, tail).await;
        }
        send_frame(&mut client, TEXT, b"short \n").await;
        let mut lengths = Vec::new();
        while lengths.len() < 2 {
            let batch = rig.core.batch().await;
            assert!(batch.end.is_none(), "{number}");
            rig.core.taken(attach.transport, batch.number).await;
            let messages = texts(&batch).into_iter().flat_map(|(_, messages)| messages);
            lengths.extend(messages.map(|message| message.len()));
        }
        assert_eq!(lengths, [100_000, 5], "{number}");
    }
}

/// Resident memory of this process in bytes.
#[cfg(target_os = "linux")]
fn resident() -> Option<usize> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: usize = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

/// The read buffer of a connection has the length of the longest message until it is replaced.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn an_idle_connection_keeps_no_memory_of_a_long_message() {
    const LENGTH: usize = 1_000_000;
    const CONNECTIONS: usize = 60;
    let mut rig = Rig::start().await;
    let long = format!("{} \n", "x".repeat(LENGTH));
    let (mut idle, mut before) = (Vec::new(), 0);
    for number in 0..CONNECTIONS {
        let mut client = rig.websocket().await;
        let greeting = hello("\"ming\":true,\"new\":true");
        send_frame(&mut client, TEXT, format!("{greeting}\n").as_bytes()).await;
        let attach = rig.core.attach().await;
        rig.core.opened(attach.transport, true).await;
        send_frame(&mut client, TEXT, long.as_bytes()).await;
        let batch = rig.core.batch().await;
        rig.core.taken(attach.transport, batch.number).await;
        // The beginning of a further message stays in the buffer.
        client.send(&[TEXT]).await;
        idle.push(client);
        if number == CONNECTIONS / 3 {
            before = resident().unwrap();
        }
    }
    let grown = resident().unwrap().saturating_sub(before);
    let long_buffers = (CONNECTIONS - CONNECTIONS / 3) * LENGTH;
    assert!(grown < long_buffers / 2, "{grown} bytes for {CONNECTIONS} connections");
}

//! Text and binary messages between client and app.

use minerva_app::testing::{Client, Kit};
use minerva_app::{Accepts, Message, SendError};

use crate::stream_to;

/// Messages with all scalar values, random bytes, and the shortest and longest content.
fn messages() -> Vec<Message> {
    let scalars: Vec<char> = (0..=0x10_FFFF).filter_map(char::from_u32).collect();
    assert_eq!(scalars.len(), 0x11_0000 - 0x800);
    let texts = scalars.chunks(10_000).map(|part| part.iter().collect::<String>().into());
    let mut state = 1_u64;
    let mut random = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 56) as u8
    };
    let binaries = (0..300).map(|length| (0..length).map(|_| random()).collect::<Vec<u8>>());
    let longest = minerva_proto::MAX_MESSAGE;
    let edges = [
        "".into(),
        "\u{feff}\0\n".into(),
        "\u{e9}".repeat(longest / 2).into(),
        vec![0xff; longest].into(),
    ];
    texts.chain(binaries.map(Message::from)).chain(edges).collect()
}

#[tokio::test]
async fn every_message_returns_with_its_kind_and_bytes() {
    let (kit, _service, client, mut stream) = stream_to(Accepts::TextAndBinary).await;
    assert_eq!(stream.accepts(), Accepts::TextAndBinary);
    let sent = messages();
    for (number, message) in sent.iter().enumerate() {
        client.send(message.clone()).await;
        let received = stream.recv().await.unwrap();
        if number == sent.len() / 2 {
            kit.lose_call().await;
        }
        stream.send(received).await.unwrap();
        let returned = client.recv().await.unwrap();
        assert_eq!(&returned, message, "message {number}");
        assert_eq!(returned.kind(), message.kind(), "message {number}");
    }
}

#[tokio::test]
async fn a_client_of_version_2_gets_nothing_of_an_unsupported_message() {
    let (_kit, _service, client, stream) = stream_to(Accepts::AsciiText).await;
    for (message, position) in [
        (Message::from("na\u{ef}ve"), Some(2)),
        ("\u{0}".into(), Some(0)),
        (Message::from(&b"a"[..]), None),
    ] {
        let before = stream.next_send();
        let error = stream.send(message.clone()).await.unwrap_err();
        assert_eq!(error, SendError::Unsupported { position });
        assert!(stream.try_send(message).is_err());
        assert_eq!(stream.next_send(), before, "no number");
    }
    stream.send_json("na\u{ef}ve \u{1f980}").await.unwrap();
    let json = client.recv().await.unwrap();
    assert_eq!(json, r#""na\u00efve \ud83e\udd80""#);
}

#[tokio::test]
#[should_panic(expected = "a client's message needs Client::accepts")]
async fn a_client_of_version_2_sends_no_binary_message() {
    Kit::new().connect(Client::new()).send(vec![b'a']).await;
}

//! The chat example, from the view of the clients.

use minerva_app::testing::{Client, ClientStream, Kit};
use serde_json::{Value, json};

use crate::room;

/// The chat with two clients.
fn chat() -> (Kit, ClientStream, ClientStream) {
    let mut kit = Kit::new();
    tokio::spawn(room::serve(kit.service("chat")));
    let (ann, bob) = (kit.connect(Client::new()), kit.connect(Client::new()));
    (kit, ann, bob)
}

async fn send_json(client: &ClientStream, message: &Value) {
    client.send(ascii(&message.to_string())).await;
}

/// JSON with every character outside of 0x20-0x7E escaped, as clients must send.
fn ascii(json: &str) -> String {
    let mut ascii = String::new();
    for unit in json.encode_utf16() {
        match u8::try_from(unit) {
            Ok(byte @ 0x20..=0x7E) => ascii.push(byte.into()),
            _ => ascii.push_str(&format!("\\u{unit:04x}")),
        }
    }
    ascii
}

/// The next message for a client, without the time.
async fn recv_json(client: &ClientStream) -> Value {
    let encoded = client.recv().await.unwrap();
    let mut message: Value = serde_json::from_slice(encoded.as_bytes()).unwrap();
    message.as_object_mut().unwrap().remove("at");
    message
}

fn join(name: &str) -> Value {
    json!({"t": "join", "room": "lobby", "name": name})
}

/// Joins the lobby and receives history and names.
async fn join_lobby(client: &ClientStream, name: &str) -> (Value, Value) {
    send_json(client, &join(name)).await;
    (recv_json(client).await, recv_json(client).await)
}

#[tokio::test]
async fn members_join_talk_and_leave() {
    let (_kit, ann, bob) = chat();
    let history = json!({"t": "history", "room": "lobby", "name": "Ann", "lines": []});
    let names = json!({"t": "names", "room": "lobby", "names": ["Ann"]});
    assert_eq!(join_lobby(&ann, "Ann").await, (history, names));

    send_json(&ann, &json!({"t": "say", "text": " h\u{e9} \u{1f600}\u{7f}"})).await;
    let error = json!({"t": "error", "message": "a line is 1 to 1000 characters"});
    assert_eq!(recv_json(&ann).await, error);
    send_json(&ann, &json!({"t": "say", "text": " h\u{e9} \u{1f600} "})).await;
    let said = json!({"t": "said", "room": "lobby", "name": "Ann", "text": "h\u{e9} \u{1f600}"});
    assert_eq!(recv_json(&ann).await, said);

    let (history, names) = join_lobby(&bob, "Ann").await;
    assert_eq!(history["name"], "Ann-2");
    assert_eq!(history["lines"][0]["text"], "h\u{e9} \u{1f600}");
    assert_eq!(names["names"], json!(["Ann", "Ann-2"]));
    assert_eq!(recv_json(&ann).await, json!({"t": "joined", "room": "lobby", "name": "Ann-2"}));

    bob.reset("bye");
    assert_eq!(recv_json(&ann).await, json!({"t": "left", "room": "lobby", "name": "Ann-2"}));
}

#[tokio::test]
async fn invalid_messages_get_an_error() {
    let (_kit, ann, _bob) = chat();
    let messages = [
        json!("text"),
        json!({"t": "nonsense"}),
        json!({"t": "say", "text": "too early"}),
        json!({"t": "join", "room": "Lobby", "name": "Ann"}),
        json!({"t": "join", "room": "lobby", "name": " "}),
        json!({"t": "join", "room": "lobby", "name": "x".repeat(25)}),
        json!({"t": "ping", "n": "5"}),
    ];
    for message in &messages {
        send_json(&ann, message).await;
        assert_eq!(recv_json(&ann).await["t"], "error", "{message}");
    }
    send_json(&ann, &json!({"t": "ping", "n": 5})).await;
    assert_eq!(recv_json(&ann).await, json!({"t": "pong", "n": 5}));
}

#[tokio::test]
async fn history_is_bounded() {
    let (_kit, ann, bob) = chat();
    join_lobby(&ann, "Ann").await;
    for number in 1..=51 {
        send_json(&ann, &json!({"t": "say", "text": number.to_string()})).await;
        assert_eq!(recv_json(&ann).await["t"], "said");
    }
    let (history, _) = join_lobby(&bob, "Bob").await;
    let lines = history["lines"].as_array().unwrap();
    assert_eq!((lines.len(), &lines[0]["text"]), (50, &json!("2")));
}

#[tokio::test]
async fn a_slow_member_gets_the_count_of_missed_messages() {
    // Room for the history, the names and one line.
    let mut kit = Kit::new().outbox(10_000, 3);
    tokio::spawn(room::serve(kit.service("chat")));
    let (ann, bob) = (kit.connect(Client::new()), kit.connect(Client::new()));
    join_lobby(&ann, "Ann").await;
    send_json(&bob, &join("Bob")).await;
    assert_eq!(recv_json(&ann).await["t"], "joined");
    for _line in 1..=4 {
        send_json(&ann, &json!({"t": "say", "text": "x"})).await;
        assert_eq!(recv_json(&ann).await["t"], "said");
    }
    for kind in ["history", "names", "said"] {
        assert_eq!(recv_json(&bob).await["t"], kind);
    }
    assert_eq!(recv_json(&bob).await, json!({"t": "missed", "count": 3}));
    assert_eq!(recv_json(&bob).await["names"], json!(["Ann", "Bob"]));
}

#[tokio::test]
async fn a_restart_asks_clients_to_rejoin() {
    let (mut kit, ann, _bob) = chat();
    join_lobby(&ann, "Ann").await;
    tokio::spawn(room::serve(kit.restart_app()));
    assert_eq!(recv_json(&ann).await, json!({"t": "rejoin"}));
    let (history, names) = join_lobby(&ann, "Ann").await;
    assert_eq!((&history["lines"], &names["names"]), (&json!([]), &json!(["Ann"])));
}

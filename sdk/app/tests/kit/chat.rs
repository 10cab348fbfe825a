//! The chat, as its clients see it.

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

async fn say(client: &ClientStream, message: &Value) {
    client.send(ascii(&message.to_string())).await;
}

/// JSON without characters that do not travel, as clients have to write it.
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

/// The next message for a client, without its time.
async fn heard(client: &ClientStream) -> Value {
    let encoded = client.recv().await.unwrap();
    let mut message: Value = serde_json::from_slice(&encoded).unwrap();
    message.as_object_mut().unwrap().remove("at");
    message
}

fn join(name: &str) -> Value {
    json!({"t": "join", "room": "lobby", "name": name})
}

/// Joins the lobby, and hears its lines and who is there.
async fn enter(client: &ClientStream, name: &str) -> (Value, Value) {
    say(client, &join(name)).await;
    (heard(client).await, heard(client).await)
}

#[tokio::test]
async fn people_meet_talk_and_leave() {
    let (_kit, ann, bob) = chat();
    let history = json!({"t": "history", "room": "lobby", "name": "Ann", "lines": []});
    let names = json!({"t": "names", "room": "lobby", "names": ["Ann"]});
    assert_eq!(enter(&ann, "Ann").await, (history, names));

    say(&ann, &json!({"t": "say", "text": " h\u{e9} \u{1f600}\u{7f}"})).await;
    let error = json!({"t": "error", "message": "a line is 1 to 1000 characters"});
    assert_eq!(heard(&ann).await, error);
    say(&ann, &json!({"t": "say", "text": " h\u{e9} \u{1f600} "})).await;
    let said = json!({"t": "said", "room": "lobby", "name": "Ann", "text": "h\u{e9} \u{1f600}"});
    assert_eq!(heard(&ann).await, said);

    let (history, names) = enter(&bob, "Ann").await;
    assert_eq!(history["name"], "Ann-2");
    assert_eq!(history["lines"][0]["text"], "h\u{e9} \u{1f600}");
    assert_eq!(names["names"], json!(["Ann", "Ann-2"]));
    assert_eq!(heard(&ann).await, json!({"t": "joined", "room": "lobby", "name": "Ann-2"}));

    bob.reset("bye");
    assert_eq!(heard(&ann).await, json!({"t": "left", "room": "lobby", "name": "Ann-2"}));
}

#[tokio::test]
async fn wrong_messages_are_explained() {
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
        say(&ann, message).await;
        assert_eq!(heard(&ann).await["t"], "error", "{message}");
    }
    say(&ann, &json!({"t": "ping", "n": 5})).await;
    assert_eq!(heard(&ann).await, json!({"t": "pong", "n": 5}));
}

#[tokio::test]
async fn history_is_bounded() {
    let (_kit, ann, bob) = chat();
    enter(&ann, "Ann").await;
    for number in 1..=51 {
        say(&ann, &json!({"t": "say", "text": number.to_string()})).await;
        assert_eq!(heard(&ann).await["t"], "said");
    }
    let (history, _) = enter(&bob, "Bob").await;
    let lines = history["lines"].as_array().unwrap();
    assert_eq!((lines.len(), &lines[0]["text"]), (50, &json!("2")));
}

#[tokio::test]
async fn a_slow_member_is_told_what_it_missed() {
    // History, names, and one line more.
    let mut kit = Kit::new().outbox(10_000, 3);
    tokio::spawn(room::serve(kit.service("chat")));
    let (ann, bob) = (kit.connect(Client::new()), kit.connect(Client::new()));
    enter(&ann, "Ann").await;
    say(&bob, &join("Bob")).await;
    assert_eq!(heard(&ann).await["t"], "joined");
    for _line in 1..=4 {
        say(&ann, &json!({"t": "say", "text": "x"})).await;
        assert_eq!(heard(&ann).await["t"], "said");
    }
    for kind in ["history", "names", "said"] {
        assert_eq!(heard(&bob).await["t"], kind);
    }
    assert_eq!(heard(&bob).await, json!({"t": "missed", "count": 3}));
    assert_eq!(heard(&bob).await["names"], json!(["Ann", "Bob"]));
}

#[tokio::test]
async fn after_a_restart_clients_are_asked_to_join_again() {
    let (mut kit, ann, _bob) = chat();
    enter(&ann, "Ann").await;
    tokio::spawn(room::serve(kit.restart_app()));
    assert_eq!(heard(&ann).await, json!({"t": "rejoin"}));
    let (history, names) = enter(&ann, "Ann").await;
    assert_eq!((&history["lines"], &names["names"]), (&json!([]), &json!(["Ann"])));
}

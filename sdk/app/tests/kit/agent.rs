//! The agent example under crashes at each point of a conversation.

use std::path::Path;

use minerva_app::testing::{Client, ClientStream, Kit};
use serde_json::{Value, json};

use crate::serve::serve;
use crate::store::Store;

/// An agent with one client. The database survives the crashes.
struct Agent {
    kit: Kit,
    store: Store,
    client: ClientStream,
}

impl Agent {
    fn new() -> Self {
        let mut kit = Kit::new();
        let store = Store::open(Path::new(":memory:")).unwrap();
        let service = kit.service("agent");
        let handlers = store.clone();
        tokio::spawn(service.run(move |stream| serve(stream, handlers.clone())));
        let client = kit.connect(Client::new());
        Self { kit, store, client }
    }

    fn crash(&mut self) {
        let (service, handlers) = (self.kit.restart_app(), self.store.clone());
        tokio::spawn(service.run(move |stream| serve(stream, handlers.clone())));
    }

    async fn send(&self, message: Value) {
        self.client.send(message.to_string()).await;
    }

    async fn recv(&self) -> Value {
        let message = self.client.recv().await.unwrap();
        serde_json::from_slice(message.as_bytes()).unwrap()
    }

    /// Receives up to a message of type `last`, with crashes before the messages with these indexes.
    async fn recv_to(&mut self, last: &str, crashes: &[usize]) -> Vec<Value> {
        let mut received = Vec::new();
        while received.last().is_none_or(|message: &Value| message["t"] != last) {
            if crashes.contains(&received.len()) {
                self.crash();
            }
            received.push(self.recv().await);
        }
        received
    }
}

fn token(text: &str) -> Value {
    json!({"t": "token", "text": text})
}

#[tokio::test(start_paused = true)]
async fn an_answer_continues_after_each_crash() {
    for crashes in [&[][..], &[0], &[1, 2, 3], &[5, 5], &[10], &[0, 3, 6, 9]] {
        let mut agent = Agent::new();
        agent.send(json!({"t": "prompt", "text": "count to 10"})).await;
        let received = agent.recv_to("done", crashes).await;
        let counted: Vec<Value> = (1..=10).map(|n| token(&format!("{n} "))).collect();
        assert_eq!(received[..10], counted, "{crashes:?}");
        assert_eq!(received.len(), 11, "{crashes:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_stop_ends_the_answer_and_the_next_prompt_begins_another() {
    let mut agent = Agent::new();
    agent.send(json!({"t": "prompt", "text": "count to 1000"})).await;
    assert_eq!(agent.recv().await, token("1 "));
    agent.send(json!({"t": "stop"})).await;
    agent.crash();
    let received = agent.recv_to("stopped", &[]).await;
    assert!(received.len() < 20, "{}", received.len());
    agent.send(json!({"t": "stop"})).await;
    agent.client.send(r#"{"t":"prompt","text":"h\u00e9 llo"}"#).await;
    let expected = [token("h\u{e9} "), token("llo "), json!({"t": "done"})];
    assert_eq!(agent.recv_to("done", &[]).await, expected);
}

#[tokio::test(start_paused = true)]
async fn an_approved_call_happens_once() {
    for (verdict, answer, approved) in
        [("approve", "Deleted a.txt.", 1), ("deny", "Kept a.txt.", 0)]
    {
        for crash in 0..3 {
            let mut agent = Agent::new();
            agent.send(json!({"t": "prompt", "text": "please delete a.txt"})).await;
            let call = agent.recv_to("call", &[crash]).await.pop().unwrap();
            let expected = json!({"t": "call", "call": 1, "tool": "delete", "input": "a.txt"});
            assert_eq!(call, expected);
            agent.send(json!({"t": verdict, "call": 1})).await;
            let received = agent.recv_to("done", &[crash]).await;
            assert_eq!(received, [token(answer), json!({"t": "done"})], "{crash}");
            agent.send(json!({"t": verdict, "call": 1})).await;
            assert_eq!(agent.recv().await["t"], "error");
            assert_eq!(agent.store.approved(), approved, "{verdict}, {crash}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_second_prompt_during_an_answer_is_refused() {
    let mut agent = Agent::new();
    agent.send(json!({"t": "prompt", "text": "count to 3"})).await;
    agent.send(json!({"t": "prompt", "text": "count to 3"})).await;
    let received = agent.recv_to("done", &[]).await;
    let error = json!({"t": "error", "message": "an answer is in progress: stop it first"});
    assert_eq!(received.iter().filter(|message| **message == error).count(), 1);
    assert_eq!(received.len(), 5);
}

//! The state of one conversation, without I/O: prompts and decisions go in, messages for the client come out.
//!
//! `store.rs` writes state and messages in one transaction; `main.rs` sends a message only after that.

use serde_json::{Value, json};

use crate::model::{Step, next_step};

/// Most characters in a prompt.
const MAX_PROMPT: usize = 2000;

/// State of a conversation; the tokens of the answers are messages and not part of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Conversation {
    /// Number of the next event without effects. Events start with 1.
    pub(crate) next_event: u64,
    /// Number of the next message to the client.
    pub(crate) next_message: u64,
    /// The answer in progress.
    pub(crate) turn: Option<Turn>,
}

/// An answer in progress.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Turn {
    pub(crate) prompt: String,
    /// Steps of the model so far.
    pub(crate) steps: u64,
    /// Number of the message with the tool call that waits for a decision.
    pub(crate) call: Option<u64>,
    pub(crate) verdict: Option<bool>,
}

/// What a transaction has to store beside the state.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Effects {
    /// Messages to the client, in order.
    pub(crate) messages: Vec<Value>,
    /// The approved tool call, by the number of its message.
    pub(crate) approved: Option<u64>,
}

impl Conversation {
    /// Whether the model has work: an answer in progress that waits for no decision.
    pub(crate) fn is_working(&self) -> bool {
        self.turn.as_ref().is_some_and(|turn| turn.call.is_none())
    }

    /// Handles a message of the client. An event that has had its effects has none again.
    pub(crate) fn on_message(&mut self, event: u64, message: &[u8]) -> Effects {
        if event < self.next_event {
            return Effects::default();
        }
        self.next_event = event + 1;
        let message: Value = serde_json::from_slice(message).unwrap_or_default();
        let outcome = match message["t"].as_str() {
            Some("prompt") => self.begin(message["text"].as_str().unwrap_or_default()),
            Some("stop") => Ok(self.stop()),
            Some("approve") => self.decide(&message["call"], true),
            Some("deny") => self.decide(&message["call"], false),
            _ => Err("unknown `t`: use prompt, stop, approve or deny"),
        };
        let refused = |text| self.effects(vec![json!({"t": "error", "message": text})]);
        outcome.unwrap_or_else(refused)
    }

    /// Takes the next step of the answer in progress.
    pub(crate) fn step(&mut self) -> Effects {
        let call = self.next_message;
        let Some(turn) = &mut self.turn else { return Effects::default() };
        let step = next_step(&turn.prompt, turn.steps, turn.verdict);
        turn.steps += 1;
        let message = match step {
            Step::Token(text) => json!({"t": "token", "text": text}),
            Step::Call { tool, input } => {
                turn.call = Some(call);
                json!({"t": "call", "call": call, "tool": tool, "input": input})
            }
            Step::Done => {
                self.turn = None;
                json!({"t": "done"})
            }
        };
        self.effects(vec![message])
    }

    fn begin(&mut self, text: &str) -> Result<Effects, &'static str> {
        if self.turn.is_some() {
            return Err("an answer is in progress: stop it first");
        }
        if !(1..=MAX_PROMPT).contains(&text.chars().count()) {
            return Err("a prompt has 1 to 2000 characters");
        }
        self.turn = Some(Turn { prompt: text.to_owned(), steps: 0, call: None, verdict: None });
        Ok(Effects::default())
    }

    /// A stop may cross the end of the answer on the way, so a stop without an answer is no error.
    fn stop(&mut self) -> Effects {
        let stopped = self.turn.take().map(|_| json!({"t": "stopped"}));
        self.effects(stopped.into_iter().collect())
    }

    fn decide(&mut self, call: &Value, verdict: bool) -> Result<Effects, &'static str> {
        let waiting = self.turn.as_mut().filter(|turn| turn.call.is_some());
        let turn = waiting.filter(|turn| turn.call == call.as_u64());
        let turn = turn.ok_or("no tool call with this number waits for a decision")?;
        turn.verdict = Some(verdict);
        let approved = turn.call.take().filter(|_| verdict);
        Ok(Effects { approved, ..Effects::default() })
    }

    fn effects(&mut self, messages: Vec<Value>) -> Effects {
        self.next_message += messages.len() as u64;
        Effects { messages, approved: None }
    }
}

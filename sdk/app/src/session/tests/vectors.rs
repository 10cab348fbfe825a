//! Plays `sdk/vectors/session.json`: recorded inputs and outputs of the session machine, which the SDKs of all languages
//! reproduce. `sdk/vectors/README.md` has the format. With `RECORD_VECTORS` set, writes the outputs of this machine instead.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use prost::Message as _;
use prost_reflect::{DescriptorPool, DynamicMessage, SerializeOptions};
use serde_json::{Value, json};

use super::*;
use crate::event::{Ended, Event};

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../vectors/session.json");

#[test]
fn the_vectors_hold() {
    let mut file: Value = serde_json::from_slice(&std::fs::read(FILE).unwrap()).unwrap();
    let is_recorded = std::env::var_os("RECORD_VECTORS").is_some();
    for scenario in file["scenarios"].as_array_mut().unwrap() {
        let (name, mut player) = (scenario["name"].to_string(), Player::new());
        for (index, step) in scenario["steps"].as_array_mut().unwrap().iter_mut().enumerate() {
            let outcome = player.play(step);
            if is_recorded {
                step["out"] = outcome;
            } else {
                assert_eq!(outcome, step["out"], "step {index} of {name}: {step}");
            }
        }
    }
    if is_recorded {
        write(&file);
    }
}

/// One line per step, so that a change is readable.
fn write(file: &Value) {
    let scenario = |scenario: &Value| {
        let steps = scenario["steps"].as_array().unwrap().iter();
        let steps: Vec<String> = steps.map(|step| format!("  {step}")).collect();
        format!("{{\"name\":{},\"steps\":[\n{}\n]}}", scenario["name"], steps.join(",\n"))
    };
    let scenarios = file["scenarios"].as_array().unwrap().iter();
    let scenarios: Vec<String> = scenarios.map(scenario).collect();
    let text = format!("{{\"scenarios\":[\n{}\n]}}\n", scenarios.join(",\n"));
    std::fs::write(Path::new(FILE), text).unwrap();
}

struct Player {
    session: Session,
    calls: BTreeMap<String, CallId>,
    pool: DescriptorPool,
}

impl Player {
    fn new() -> Self {
        let pool = DescriptorPool::decode(minerva_proto::app::DESCRIPTORS).unwrap();
        Self { session: Session::new(1000), calls: BTreeMap::new(), pool }
    }

    fn play(&mut self, step: &Value) -> Value {
        let is_input = |key: &str| {
            !["out", "call", "budget", "content", "number", "text", "force"].contains(&key)
        };
        let inputs = step.as_object().unwrap();
        let (input, value) = inputs.iter().find(|(key, _)| is_input(key)).unwrap();
        self.call_input(input, value, step)
            .or_else(|| self.change(input, StreamNumber(value.as_u64()?), step))
            .or_else(|| self.query(input, value, step))
            .unwrap_or_else(|| panic!("unknown input {input}"))
    }

    /// Inputs and outputs of calls.
    fn call_input(&mut self, input: &str, value: &Value, step: &Value) -> Option<Value> {
        let name = value.as_str();
        Some(match input {
            "begin" => self.begin(name?),
            "end" => {
                let call = self.calls.remove(name?)?;
                self.session.end(call);
                Value::Null
            }
            "event" => self.event(self.calls[step["call"].as_str()?], value),
            "take" => {
                let budget = step["budget"].as_u64().map_or(usize::MAX, |budget| budget as usize);
                let commands = self.session.take_commands(self.calls[name?], budget);
                commands.iter().map(|command| self.to_json("Command", command)).collect()
            }
            "probes" => {
                let probes = self.session.probes(self.calls[name?]);
                probes.iter().map(|command| self.to_json("Command", command)).collect()
            }
            _ => return None,
        })
    }

    /// Inputs of handlers.
    fn change(&mut self, input: &str, stream: StreamNumber, step: &Value) -> Option<Value> {
        let text = step["text"].as_str().unwrap_or("").to_owned();
        let event = EventNumber(step["number"].as_u64().unwrap_or(0));
        let session = &mut self.session;
        Some(match input {
            "send" => self.send(stream, step, None),
            "answer" => self.send(stream, step, Some(event)),
            "label" => json!(session.set_label(stream, text)),
            "join" => match session.join(stream, text) {
                Ok(change) => json!(change),
                Err(TooManyGroupsError) => json!("too many groups"),
            },
            "leave" => json!(session.leave(stream, text)),
            _ => {
                match input {
                    "acknowledge" => session.acknowledge(stream, event),
                    "reset" => session.reset(stream, text, true),
                    "finish" => session.finish_stream(stream, text),
                    "abandon" => session.abandon(stream),
                    "idle" => {
                        let max_idle_ms = step["number"].as_u64();
                        session
                            .set_limits(stream, SetLimits { max_idle_ms, ..SetLimits::default() });
                    }
                    _ => return None,
                }
                Value::Null
            }
        })
    }

    /// Outputs.
    fn query(&mut self, input: &str, value: &Value, step: &Value) -> Option<Value> {
        let stream = StreamNumber(value.as_u64().unwrap_or(0));
        Some(match input {
            "read" => match self.session.read(stream) {
                Read::Event(event) => event_to_json(event),
                Read::Waiting => json!("waiting"),
                Read::Over => json!("over"),
            },
            "confirmed" => json!(self.session.confirmed(stream).map(|number| number.0)),
            "changed" => {
                queue_outcome(self.session.is_change_confirmed(stream, step["number"].as_u64()?))
            }
            "flushed" => json!(self.session.is_flushed()),
            "unsettled" => {
                let unsettled = self.session.unsettled_calls();
                let names = self.calls.iter().filter(|(_, call)| unsettled.contains(call));
                names.map(|(name, _)| json!(name)).collect()
            }
            _ => return None,
        })
    }

    fn begin(&mut self, name: &str) -> Value {
        let (call, mut numbers) = self.session.begin();
        self.calls.insert(name.to_owned(), call);
        numbers.sort_unstable();
        let held: Vec<_> =
            self.session.held(&numbers).iter().map(|held| self.to_json("Held", held)).collect();
        let numbers: Vec<u64> = numbers.iter().map(|number| number.0).collect();
        json!({ "held_streams": numbers, "held": held })
    }

    fn event(&mut self, call: CallId, event: &Value) -> Value {
        let descriptor = self.pool.get_message_by_name("minerva.app.v1.Event").unwrap();
        let event = DynamicMessage::deserialize(descriptor, event).unwrap();
        let event = minerva_proto::app::Event::decode(event.encode_to_vec().as_slice()).unwrap();
        let mut signals = Vec::new();
        let outcome =
            event.event.map_or(Ok(()), |event| self.session.on_event(call, event, &mut signals));
        let signals: Vec<String> = signals.iter().map(signal_text).collect();
        json!({ "signals": signals, "broken": outcome.is_err() })
    }

    fn send(&mut self, stream: StreamNumber, step: &Value, answered: Option<EventNumber>) -> Value {
        let content = &step["content"];
        let message = match content.as_str() {
            Some(text) => Message::from(text),
            None => STANDARD.decode(content["binary"].as_str().unwrap()).unwrap().into(),
        };
        match self.session.check(stream, &message) {
            Ok(()) => {}
            Err(SendError::Length { .. }) => return json!("too long"),
            Err(_) => return json!("unsupported"),
        }
        let outcome = match answered {
            Some(event) => self.session.answer(stream, event, message),
            None => self.session.send(stream, message, step["force"] != json!(true)),
        };
        outcome.map_or_else(|error| queue_outcome(Err(error)), |number| json!(number.0))
    }

    fn to_json(&self, name: &str, message: &impl prost::Message) -> Value {
        let descriptor = self.pool.get_message_by_name(&format!("minerva.app.v1.{name}")).unwrap();
        let message =
            DynamicMessage::decode(descriptor, message.encode_to_vec().as_slice()).unwrap();
        let options = SerializeOptions::new().use_proto_field_name(true);
        message.serialize_with_options(serde_json::value::Serializer, &options).unwrap()
    }
}

fn queue_outcome(outcome: Result<(), QueueError>) -> Value {
    match outcome {
        Ok(()) => json!("ok"),
        Err(QueueError::NoRoom) => json!("no room"),
        Err(QueueError::Over) => json!("over"),
        Err(QueueError::Finished) => json!("finished"),
    }
}

fn signal_text(signal: &Signal) -> String {
    match signal {
        Signal::Arrived(info) => format!("arrived {} {}", info.number.0, info.assignment),
        Signal::Readable(number) => format!("readable {}", number.0),
        Signal::Writable(number) => format!("writable {}", number.0),
        Signal::Ended(number, ended) => format!("ended {} {}", number.0, ended.reason),
        Signal::Released(number) => format!("released {}", number.0),
    }
}

fn event_to_json(event: Event) -> Value {
    let number = |event: EventNumber| event.0;
    match event {
        Event::Message { event, message: Message::Text(text), attempts } => {
            json!({ "event": number(event), "text": &*text, "attempts": attempts })
        }
        Event::Message { event, message: Message::Binary(bytes), attempts } => {
            json!({ "event": number(event), "binary": STANDARD.encode(bytes), "attempts": attempts })
        }
        Event::Rejoined { event, rejoin } => {
            json!({ "event": number(event), "generation": rejoin.generation, "from": rejoin.from.0 })
        }
        Event::Renewed { identity } => json!({ "renewed": identity.expires_at }),
        Event::TransportChanged(change) => json!({ "transports": change.transports }),
        Event::Ended { event, ended: Ended { reason, application_level, .. } } => {
            json!({ "event": number(event), "reason": reason, "application_level": application_level })
        }
        Event::Released => json!("released"),
    }
}

//! Builds one pipeline from several commands, and assigns the replies to the commands. Pure.
//!
//! Consecutive appends become one call of their script, which costs Redis a third less.

use std::sync::Arc;

use bytes::Bytes;
use minerva_proto::LogIndex;
use redis::{Cmd, Pipeline, Value};

use super::super::{Epoch, ExpectedState};
use super::keys::PartitionKeys;
use super::scripts::Script;

/// A command of a request.
#[derive(Debug, Clone)]
pub(super) enum Command {
    /// A command that is sent as is.
    Single(Cmd),
    /// An append, which can be merged with others.
    Append(Append),
}

/// An append to the log of a partition.
#[derive(Debug, Clone)]
pub(super) struct Append {
    pub(super) owner: Arc<Owner>,
    pub(super) epoch: Epoch,
    pub(super) expected: Option<ExpectedState>,
    pub(super) index: LogIndex,
    pub(super) blob: Bytes,
}

/// Keys and identity of a partition owner.
#[derive(Debug)]
pub(super) struct Owner {
    pub(super) keys: PartitionKeys,
    /// Name of the claim, `session:number`; empty if unknown.
    pub(super) claim: String,
}

/// An incomplete pipeline.
#[derive(Debug, Default)]
struct Builder {
    pipeline: Pipeline,
    layout: Vec<ReplyPart>,
    /// Appends that are not yet in the pipeline.
    appends: Vec<Append>,
}

/// Number of commands that share one reply of the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ReplyPart {
    One,
    Appends(usize),
}

/// Assignment of the replies of a pipeline to its commands.
#[derive(Debug)]
pub(super) struct ReplyLayout(Vec<ReplyPart>);

/// Builds a pipeline of commands in order. In a cluster, one script call may access only one partition.
pub(super) fn build<'a>(
    commands: impl IntoIterator<Item = &'a Command>,
    in_cluster: bool,
) -> (Pipeline, ReplyLayout) {
    let mut builder = Builder::default();
    for command in commands {
        match command {
            Command::Append(append) => {
                let keys = builder.appends.last().map(|before| &before.owner.keys);
                if in_cluster && keys.is_some_and(|keys| *keys != append.owner.keys) {
                    builder.flush();
                }
                builder.appends.push(append.clone());
            }
            Command::Single(command) => {
                builder.flush();
                builder.pipeline.add_command(command.clone());
                builder.layout.push(ReplyPart::One);
            }
        }
    }
    builder.flush();
    (builder.pipeline, ReplyLayout(builder.layout))
}

impl Builder {
    /// Adds the pending appends to the pipeline as one script call.
    fn flush(&mut self) {
        if self.appends.is_empty() {
            return;
        }
        self.pipeline.add_command(call_appends(Script::Append, &self.appends));
        self.layout.push(ReplyPart::Appends(self.appends.len()));
        self.appends.clear();
    }
}

/// One call of a script with the arguments of the append script.
fn call_appends(script: Script, appends: &[Append]) -> Cmd {
    let keys = |append| {
        let Append { owner, .. }: &Append = append;
        [&*owner.keys.head, &*owner.keys.log]
    };
    let mut call = script.call(&appends.iter().flat_map(keys).collect::<Vec<&str>>());
    for append in appends {
        call.arg(append.epoch.0).arg(&*append.owner.claim).arg(append.index.0).arg(&*append.blob);
        match append.expected {
            Some(expected) => {
                let ExpectedState { first, next_first, checkpoints } = expected;
                call.arg(first.0).arg(next_first.0).arg(checkpoints)
            }
            None => call.arg("").arg("").arg(""),
        };
    }
    call
}

impl Append {
    /// The append to a store without free memory; never merged with others.
    pub(super) fn into_full(self) -> Command {
        Command::Single(call_appends(Script::AppendToFull, &[self]))
    }
}

impl ReplyLayout {
    /// Splits the replies of the server into one reply per command, in order.
    pub(super) fn split(self, values: Vec<Value>) -> Vec<Value> {
        let replies = self.0.into_iter().zip(values).flat_map(|(part, value)| match part {
            ReplyPart::One => vec![value],
            ReplyPart::Appends(count) => split(value, count),
        });
        replies.collect()
    }
}

/// Splits the reply of the append script, which has one element per append or one value for all.
fn split(value: Value, count: usize) -> Vec<Value> {
    let is_reply = |part: &Value| matches!(part, Value::Array(_) | Value::ServerError(_));
    if let Value::Array(replies) = &value
        && replies.len() == count
        && replies.iter().all(is_reply)
    {
        return replies.clone();
    }
    vec![value; count]
}

#[cfg(test)]
mod tests {
    use redis::cmd;

    use super::*;

    fn append(partition: u32, index: u64) -> Command {
        let owner = Owner { keys: PartitionKeys::new("", partition), claim: "c:1".to_owned() };
        Command::Append(Append {
            owner: owner.into(),
            epoch: Epoch(3),
            expected: None,
            index: LogIndex(index),
            blob: "blob".into(),
        })
    }

    fn built(commands: &[Command], in_cluster: bool) -> (String, ReplyLayout) {
        let (pipeline, layout) = build(commands, in_cluster);
        (String::from_utf8(pipeline.get_packed_pipeline()).unwrap(), layout)
    }

    fn ok() -> Value {
        Value::Array(vec![Value::BulkString(b"ok".to_vec())])
    }

    #[test]
    fn consecutive_appends_become_one_call() {
        let commands = [append(1, 7), append(2, 8), Command::Single(cmd("PING")), append(1, 9)];
        let (text, layout) = built(&commands, false);
        assert_eq!(layout.0, [ReplyPart::Appends(2), ReplyPart::One, ReplyPart::Appends(1)]);
        let order = ["{p1}:head", "{p1}:log", "{p2}:head", "{p2}:log", "7", "8", "PING", "9"];
        let places: Vec<_> =
            order.iter().map(|part| text.find(&format!("\r\n{part}\r\n")).unwrap()).collect();
        assert!(places.is_sorted(), "{text}");
    }

    #[test]
    fn in_a_cluster_each_partition_has_its_own_call() {
        let commands = [append(1, 7), append(1, 8), append(2, 7), append(1, 9)];
        let (_, layout) = built(&commands, true);
        assert_eq!(layout.0, [ReplyPart::Appends(2), ReplyPart::Appends(1), ReplyPart::Appends(1)]);
        assert_eq!(layout.0.len(), 3);
    }

    #[test]
    fn each_command_gets_its_reply() {
        let commands = [append(1, 7), append(2, 8), Command::Single(cmd("PING")), append(1, 9)];
        let replies = vec![ok(), Value::Okay, ok()];
        assert_eq!(built(&commands, false).1.split(replies), [ok(), ok(), Value::Okay, ok()]);
        let fenced = Value::Array(vec![Value::BulkString(b"fenced".to_vec())]);
        for (one, two) in [(ok(), fenced.clone()), (fenced, ok()), (Value::Array(vec![]), ok())] {
            let both = Value::Array(vec![one.clone(), two.clone()]);
            let replies = vec![both, Value::Okay, Value::Array(vec![ok()])];
            assert_eq!(built(&commands, false).1.split(replies), [one, two, Value::Okay, ok()]);
        }
    }

    #[test]
    fn a_reply_of_unexpected_shape_is_given_to_each_append() {
        for odd in [Value::Nil, Value::Array(vec![ok()]), Value::Array(vec![Value::Int(1); 2])] {
            let layout = built(&[append(1, 7), append(2, 8)], false).1;
            assert_eq!(layout.split(vec![odd.clone()]), [odd.clone(), odd]);
        }
    }
}

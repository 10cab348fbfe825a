//! One pipeline out of the jobs that a lane has, and an answer for each job out of what comes back. Appends
//! that follow one another become one call of their script, which costs Redis a third less. Pure.

use std::sync::Arc;

use bytes::Bytes;
use redis::{Cmd, Pipeline, Value};

use super::keys::PartitionKeys;
use super::scripts::Script;

/// What a job wants of Redis.
#[derive(Debug, Clone)]
pub(super) enum Call {
    /// A command of its own.
    Alone(Cmd),
    /// A blob for a partition's log.
    Append(Append),
}

/// A blob for a partition's log.
#[derive(Debug, Clone)]
pub(super) struct Append {
    pub(super) owner: Arc<Owner>,
    pub(super) epoch: u64,
    pub(super) index: u64,
    pub(super) blob: Bytes,
}

/// An owner of a partition: where it writes, and how it proves itself.
#[derive(Debug)]
pub(super) struct Owner {
    pub(super) keys: PartitionKeys,
    /// The name of its claim.
    pub(super) claim: String,
}

/// A pipeline in the making.
#[derive(Debug, Default)]
struct Builder {
    pipeline: Pipeline,
    shares: Vec<Share>,
    /// Appends that are not in the pipeline yet.
    appends: Vec<Append>,
}

/// Whose answer a command's answer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Share {
    One,
    Appends(usize),
}

/// Knows whose answers are whose.
#[derive(Debug)]
pub(super) struct Shares(Vec<Share>);

/// A pipeline of calls in their order, and what tells its answers apart. In a cluster, a script may only touch one
/// partition.
pub(super) fn build<'a>(
    calls: impl IntoIterator<Item = &'a Call>,
    in_cluster: bool,
) -> (Pipeline, Shares) {
    let mut builder = Builder::default();
    for call in calls {
        match call {
            Call::Append(append) => {
                let keys = builder.appends.last().map(|before| &before.owner.keys);
                if in_cluster && keys.is_some_and(|keys| *keys != append.owner.keys) {
                    builder.flush();
                }
                builder.appends.push(append.clone());
            }
            Call::Alone(command) => {
                builder.flush();
                builder.pipeline.add_command(command.clone());
                builder.shares.push(Share::One);
            }
        }
    }
    builder.flush();
    (builder.pipeline, Shares(builder.shares))
}

impl Builder {
    /// Puts the appends into the pipeline, as one call.
    fn flush(&mut self) {
        if self.appends.is_empty() {
            return;
        }
        let keys: Vec<&str> = self
            .appends
            .iter()
            .flat_map(|append| [&*append.owner.keys.head, &*append.owner.keys.log])
            .collect();
        let mut call = Script::Append.call(&keys);
        for append in &self.appends {
            call.arg(append.epoch).arg(&*append.owner.claim).arg(append.index).arg(&*append.blob);
        }
        self.pipeline.add_command(call);
        self.shares.push(Share::Appends(self.appends.len()));
        self.appends.clear();
    }
}

impl Shares {
    /// An answer for each call, in their order.
    pub(super) fn split(self, values: Vec<Value>) -> Vec<Value> {
        let answers = self.0.into_iter().zip(values).flat_map(|(share, value)| match share {
            Share::One => vec![value],
            Share::Appends(count) => split(value, count),
        });
        answers.collect()
    }
}

/// What the script answers to so many appends: one answer for each, or one for all.
fn split(value: Value, count: usize) -> Vec<Value> {
    let is_answer = |part: &Value| matches!(part, Value::Array(_) | Value::ServerError(_));
    if let Value::Array(answers) = &value
        && answers.len() == count
        && answers.iter().all(is_answer)
    {
        return answers.clone();
    }
    vec![value; count]
}

#[cfg(test)]
mod tests {
    use redis::cmd;

    use super::*;

    fn append(partition: u32, index: u64) -> Call {
        let owner = Owner { keys: PartitionKeys::new("", partition), claim: "c:1".to_owned() };
        Call::Append(Append { owner: owner.into(), epoch: 3, index, blob: "blob".into() })
    }

    fn built(calls: &[Call], in_cluster: bool) -> (String, Shares) {
        let (pipeline, shares) = build(calls, in_cluster);
        (String::from_utf8(pipeline.get_packed_pipeline()).unwrap(), shares)
    }

    fn ok() -> Value {
        Value::Array(vec![Value::BulkString(b"ok".to_vec())])
    }

    #[test]
    fn appends_that_follow_one_another_are_one_call() {
        let calls = [append(1, 7), append(2, 8), Call::Alone(cmd("PING")), append(1, 9)];
        let (text, shares) = built(&calls, false);
        assert_eq!(shares.0, [Share::Appends(2), Share::One, Share::Appends(1)]);
        let order = ["{p1}:head", "{p1}:log", "{p2}:head", "{p2}:log", "7", "8", "PING", "9"];
        let places: Vec<_> =
            order.iter().map(|part| text.find(&format!("\r\n{part}\r\n")).unwrap()).collect();
        assert!(places.is_sorted(), "{text}");
    }

    #[test]
    fn in_a_cluster_each_partition_has_its_own_call() {
        let calls = [append(1, 7), append(1, 8), append(2, 7), append(1, 9)];
        let (_, shares) = built(&calls, true);
        assert_eq!(shares.0, [Share::Appends(2), Share::Appends(1), Share::Appends(1)]);
        assert_eq!(shares.0.len(), 3);
    }

    #[test]
    fn each_call_gets_its_answer() {
        let calls = [append(1, 7), append(2, 8), Call::Alone(cmd("PING")), append(1, 9)];
        let answers = vec![ok(), Value::Okay, ok()];
        assert_eq!(built(&calls, false).1.split(answers), [ok(), ok(), Value::Okay, ok()]);
        let fenced = Value::Array(vec![Value::BulkString(b"fenced".to_vec())]);
        for (one, two) in [(ok(), fenced.clone()), (fenced, ok()), (Value::Array(vec![]), ok())] {
            let both = Value::Array(vec![one.clone(), two.clone()]);
            let answers = vec![both, Value::Okay, Value::Array(vec![ok()])];
            assert_eq!(built(&calls, false).1.split(answers), [one, two, Value::Okay, ok()]);
        }
    }

    #[test]
    fn an_answer_that_fits_no_number_of_calls_is_that_of_each() {
        for odd in [Value::Nil, Value::Array(vec![ok()]), Value::Array(vec![Value::Int(1); 2])] {
            let shares = built(&[append(1, 7), append(2, 8)], false).1;
            assert_eq!(shares.split(vec![odd.clone()]), [odd.clone(), odd]);
        }
    }
}

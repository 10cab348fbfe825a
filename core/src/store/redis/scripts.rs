//! The Lua scripts: their code, their digests, and calls by digest. Each script file begins with a description.

use std::sync::LazyLock;

use redis::{Cmd, Pipeline, cmd};

/// All writing operations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Script {
    Append,
    AppendToFull,
    Heartbeat,
    Checkpoint,
    Claim,
    Discard,
    Partitions,
    Quarantine,
    Release,
    Renew,
    Reset,
    Token,
}

const ALL: [Script; 12] = [
    Script::Append,
    Script::AppendToFull,
    Script::Heartbeat,
    Script::Checkpoint,
    Script::Claim,
    Script::Discard,
    Script::Partitions,
    Script::Quarantine,
    Script::Release,
    Script::Renew,
    Script::Reset,
    Script::Token,
];

/// SHA-1 digests of the scripts, in the order of [`ALL`].
static HASHES: LazyLock<[String; 12]> =
    LazyLock::new(|| ALL.map(|script| redis::Script::new(script.code()).get_hash().to_owned()));

impl Script {
    fn code(self) -> &'static str {
        match self {
            Self::Append => include_str!("append.lua"),
            // A full Redis permits PERSIST, and then all further writes of the script. (See renew.lua.)
            Self::AppendToFull => {
                concat!("redis.call('PERSIST', KEYS[1])\n", include_str!("append.lua"))
            }
            Self::Heartbeat => concat!(include_str!("vote.lua"), include_str!("heartbeat.lua")),
            Self::Checkpoint => concat!(include_str!("sizes.lua"), include_str!("checkpoint.lua")),
            Self::Claim => concat!(include_str!("sizes.lua"), include_str!("claim.lua")),
            Self::Discard => concat!(include_str!("sizes.lua"), include_str!("discard.lua")),
            Self::Partitions => concat!(include_str!("vote.lua"), include_str!("partitions.lua")),
            Self::Quarantine => include_str!("quarantine.lua"),
            Self::Release => include_str!("release.lua"),
            Self::Renew => concat!(include_str!("sizes.lua"), include_str!("renew.lua")),
            Self::Reset => include_str!("reset.lua"),
            Self::Token => include_str!("token.lua"),
        }
    }

    /// Begins a call with these keys; the caller appends the arguments.
    pub(super) fn call(self, keys: &[&str]) -> Cmd {
        let mut command = cmd("EVALSHA");
        command.arg(&HASHES[self as usize]).arg(keys.len()).arg(keys);
        command
    }
}

/// A pipeline that loads all scripts into a server.
pub(super) fn load() -> Pipeline {
    let mut pipeline = Pipeline::new();
    for script in ALL {
        pipeline.cmd("SCRIPT").arg("LOAD").arg(script.code());
    }
    pipeline
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_script_is_called_by_its_own_digest() {
        for (at, script) in ALL.into_iter().enumerate() {
            assert_eq!(script as usize, at, "the list has the order of the variants");
            let hash = redis::Script::new(script.code()).get_hash().to_owned();
            let call = script.call(&["a", "b"]).get_packed_command();
            let call = String::from_utf8(call).unwrap();
            assert!(call.contains(&hash) && call.ends_with("$1\r\n2\r\n$1\r\na\r\n$1\r\nb\r\n"));
        }
    }
}

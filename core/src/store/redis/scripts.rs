//! The Lua scripts: where their code is and how a call of one is written. What each does is said at the
//! top of its file.

use std::sync::LazyLock;

use redis::{Cmd, Pipeline, cmd};

/// The scripts by which everything is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Script {
    Append,
    Beat,
    Checkpoint,
    Claim,
    Partitions,
    Release,
    Renew,
}

const ALL: [Script; 7] = [
    Script::Append,
    Script::Beat,
    Script::Checkpoint,
    Script::Claim,
    Script::Partitions,
    Script::Release,
    Script::Renew,
];

/// The digests by which the server knows the scripts, in the order of [`ALL`].
static HASHES: LazyLock<[String; 7]> =
    LazyLock::new(|| ALL.map(|script| redis::Script::new(script.code()).get_hash().to_owned()));

impl Script {
    fn code(self) -> &'static str {
        match self {
            Self::Append => include_str!("append.lua"),
            Self::Beat => include_str!("beat.lua"),
            Self::Checkpoint => include_str!("checkpoint.lua"),
            Self::Claim => include_str!("claim.lua"),
            Self::Partitions => include_str!("partitions.lua"),
            Self::Release => include_str!("release.lua"),
            Self::Renew => include_str!("renew.lua"),
        }
    }

    /// A call of the script with these keys; its arguments are to be added behind.
    pub(super) fn call(self, keys: &[&str]) -> Cmd {
        let mut call = cmd("EVALSHA");
        call.arg(&HASHES[self as usize]).arg(keys.len()).arg(keys);
        call
    }
}

/// Loads all scripts into a server.
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
            assert_eq!(script as usize, at, "the order of the list is that of the names");
            let hash = redis::Script::new(script.code()).get_hash().to_owned();
            let call = script.call(&["a", "b"]).get_packed_command();
            let call = String::from_utf8(call).unwrap();
            assert!(call.contains(&hash) && call.ends_with("$1\r\n2\r\n$1\r\na\r\n$1\r\nb\r\n"));
        }
    }
}

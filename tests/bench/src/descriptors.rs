//! Whether this process, and those that it starts, may open as many files as a benchmark needs.

use anyhow::bail;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Files that are open besides connections: pipes, listeners, logs, connections between the processes.
const OTHERS: u64 = 200;

/// Raises the limit for so many connections, as far as the system lets anybody.
///
/// # Errors
/// If that is not enough; says what to do.
pub(crate) fn suffice_for(connections: usize) -> anyhow::Result<()> {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let need = connections as u64 + OTHERS;
    if let Some(most) = maximum.filter(|most| *most < need) {
        bail!("{}", refusal(connections, most));
    }
    if current.is_some_and(|current| current < need) {
        let raised = setrlimit(Resource::Nofile, Rlimit { current: Some(need), maximum });
        if raised.is_err() {
            bail!("{}", refusal(connections, current.unwrap_or_default()));
        }
    }
    Ok(())
}

fn refusal(connections: usize, most: u64) -> String {
    let need = connections as u64 + OTHERS;
    format!(
        "{connections} connections need {need} open files, and the limit here is {most}: ask for {} with --streams, or raise it \
         (`ulimit -Hn {need}` as root, or LimitNOFILE= where systemd starts this) and run it again",
        most.saturating_sub(OTHERS)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_many_are_refused_with_what_would_do() {
        suffice_for(1).unwrap();
        if getrlimit(Resource::Nofile).maximum.is_some() {
            assert!(suffice_for(1 << 40).is_err());
        }
        let text = refusal(10_000, 1024);
        assert!(text.contains("10200 open files") && text.contains("ask for 824 with --streams"));
    }
}

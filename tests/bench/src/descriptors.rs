//! The limit of open files, for this process and its children.

use anyhow::bail;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Open files in addition to the connections: pipes, listeners, logs, connections between processes.
const OTHERS: u64 = 200;

/// Raises the limit for a number of connections, as far as permitted.
///
/// # Errors
/// If the limit is too low; the error names a remedy.
pub(crate) fn suffice_for(connections: usize) -> anyhow::Result<()> {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let need = connections as u64 + OTHERS;
    if let Some(most) = maximum.filter(|most| *most < need) {
        bail!("{}", limit_error(connections, most));
    }
    if current.is_some_and(|current| current < need) {
        let raised = setrlimit(Resource::Nofile, Rlimit { current: Some(need), maximum });
        if raised.is_err() {
            bail!("{}", limit_error(connections, current.unwrap_or_default()));
        }
    }
    Ok(())
}

fn limit_error(connections: usize, most: u64) -> String {
    let need = connections as u64 + OTHERS;
    format!(
        "{connections} connections need {need} open files, but the limit is {most}: use --streams {}, or raise the limit \
         (`ulimit -Hn {need}` as root, or LimitNOFILE= in systemd)",
        most.saturating_sub(OTHERS)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_excessive_count_is_rejected_with_a_remedy() {
        suffice_for(1).unwrap();
        if getrlimit(Resource::Nofile).maximum.is_some() {
            assert!(suffice_for(1 << 40).is_err());
        }
        let text = limit_error(10_000, 1024);
        assert!(text.contains("10200 open files") && text.contains("--streams 824"));
    }
}

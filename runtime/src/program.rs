//! The body of every `main`: parses the options, builds the runtime, maps the outcome to an exit code.

use std::fmt::Display;
use std::process::ExitCode;

use crate::threads::runtime;

/// Exit code for a wrong option or an unusable configuration (`EX_USAGE` of sysexits.h).
pub const EXIT_CONFIG: u8 = 64;

/// Runs a program to its exit code.
///
/// Options come from the command line and the environment; `threads` reads the number of worker threads from them.
/// An error is printed to standard error. The exit code is [`EXIT_CONFIG`] if `is_config` returns true, that is, if
/// the operator has to change an option; for any other error the exit code is 1.
pub fn program<O, E, Run>(
    name: &str,
    threads: impl FnOnce(&O) -> Option<usize>,
    run: impl FnOnce(O) -> Run,
    is_config: impl FnOnce(&E) -> bool,
) -> ExitCode
where
    O: clap::Parser,
    E: Display,
    Run: Future<Output = Result<(), E>>,
{
    let options = match O::try_parse() {
        Ok(options) => options,
        Err(error) => {
            let _ = error.print();
            return if error.use_stderr() { EXIT_CONFIG.into() } else { ExitCode::SUCCESS };
        }
    };
    let runtime = match runtime(threads(&options)) {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("{name}: cannot start threads: {error}");
            return ExitCode::FAILURE;
        }
    };
    let outcome = runtime.block_on(run(options));
    // Does not wait for tasks that are blocked on sockets.
    runtime.shutdown_background();
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{name}: {error:#}");
            if is_config(&error) { EXIT_CONFIG.into() } else { ExitCode::FAILURE }
        }
    }
}

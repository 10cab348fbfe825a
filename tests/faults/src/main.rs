//! The program `minerva-faults`, a shell around the library.

use std::process::ExitCode;

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    minerva_faults::main().await
}

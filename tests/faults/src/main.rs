//! The program `minerva-faults`; what it does is in the library.

use std::process::ExitCode;

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    minerva_faults::main().await
}

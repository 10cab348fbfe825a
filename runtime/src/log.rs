//! Logging to standard error, filtered by the option `--log`. Every program starts logging first.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

use crate::config_error::ConfigError;

/// Logging options, common to all programs.
#[derive(Debug, Clone, clap::Args)]
pub struct LogConfig {
    /// Log filter: a level (error, warn, info, debug, trace) or tracing directives such as
    /// `info,minerva_core=debug`. Stream ids, credentials and messages are never logged.
    #[arg(long = "log", env = "MINERVA_LOG", default_value = "info", value_name = "FILTER")]
    pub filter: String,
}

impl LogConfig {
    /// Starts logging to standard error. A second start in one process (tests) keeps the first settings.
    ///
    /// # Errors
    /// If the filter cannot be parsed; the error names the option.
    pub fn start(&self) -> Result<(), ConfigError> {
        let filter = EnvFilter::try_new(&self.filter).map_err(|error| {
            ConfigError::new(
                "--log",
                error,
                "use a level such as `info`, or `info,minerva_core=debug`",
            )
        })?;
        let logs = tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_ansi(std::io::stderr().is_terminal())
            .with_writer(std::io::stderr);
        let _ = logs.try_init();
        Ok(())
    }
}

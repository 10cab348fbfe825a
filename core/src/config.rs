//! The options of a core, shared by every program that contains one.

use std::net::SocketAddr;
use std::time::Duration;

use minerva_runtime::tls::MtlsOptions;
use minerva_runtime::{ConfigError, address, positive_duration, usable_memory};

use crate::access::AccessConfig;
use crate::jwt::JwtOptions;
use crate::limits::Limits;
use crate::partition::PartitionOptions;
use crate::store::MAX_PARTITIONS;

/// Longest gRPC message on the link and the application API, in bytes: a batch of 256 KiB may end with a message of
/// 1 MiB, and a client may send several of those at once.
pub(crate) const MAX_GRPC_MESSAGE: usize = 8 << 20;

/// Options of a core.
#[derive(Debug, Clone, clap::Args)]
// The standalone program flattens the options of a core and of an edge, so each group has a name.
#[group(id = "core")]
pub struct Config {
    /// Address for application services (gRPC).
    #[arg(long, env = "MINERVA_API", default_value = "127.0.0.1:7400", value_name = "ADDR",
        value_parser = address, help_heading = "App services")]
    pub api: SocketAddr,

    /// Time in which an app instance with a hung process or a dead connection is detected, by pings. Its streams then wait
    /// --app-grace for the instance.
    #[arg(long, env = "MINERVA_APP_TIMEOUT", default_value = "8s", value_name = "TIME",
        value_parser = app_timeout, help_heading = "App services")]
    pub app_timeout: Duration,

    /// Number of partitions; fixed at the first use of a store.
    #[arg(long, env = "MINERVA_PARTITIONS", default_value_t = 64, value_name = "COUNT",
        help_heading = "State", value_parser = clap::value_parser!(u32).range(1..=i64::from(MAX_PARTITIONS)))]
    pub partitions: u32,

    /// Bytes of messages that all streams may hold in memory: inboxes, messages behind gaps, outboxes. From 80 % on no
    /// stream is created, from 90 % on no message is kept behind a gap, and from 95 % on no message of a client is
    /// taken. The same holds for the memory of Redis, if it has a `maxmemory`. Half of the memory of the machine or
    /// the container if omitted; 0: no limit.
    #[arg(long, env = "MINERVA_MEMORY_BUDGET", value_name = "BYTES", help_heading = "State")]
    pub memory_budget: Option<u64>,

    /// Newest version of the wire protocol that clients may use; an option of the programs.
    #[arg(skip = 2u32)]
    pub max_version: u32,

    /// Certificates of link and API.
    #[command(flatten)]
    pub mtls: MtlsOptions,

    /// Access to the ports for edges and application services.
    #[command(flatten)]
    pub access: AccessConfig,

    /// Limits of streams.
    #[command(flatten)]
    pub limits: Limits,

    /// Options of partitions.
    #[command(flatten)]
    pub partition: PartitionOptions,

    /// Tokens of clients.
    #[command(flatten)]
    pub jwt: JwtOptions,
}

impl Config {
    /// The memory budget in bytes; 0: no limit.
    pub(crate) fn memory_limit(&self) -> u64 {
        self.memory_budget.unwrap_or_else(|| usable_memory().unwrap_or(0) / 2)
    }

    /// Refuses a listener that other machines can reach, without certificates and `--insecure`.
    ///
    /// # Errors
    /// If the listener is refused, or an option for the certificates is missing.
    pub fn check_listener(
        &self,
        option: &'static str,
        address: SocketAddr,
    ) -> Result<(), ConfigError> {
        self.access.check_listener(option, address, self.mtls.files()?.is_some())
    }
}

impl Default for Config {
    /// The values of omitted options.
    fn default() -> Self {
        Self {
            api: SocketAddr::from(([127, 0, 0, 1], 7400)),
            app_timeout: Duration::from_secs(8),
            partitions: 64,
            memory_budget: None,
            max_version: 2,
            mtls: MtlsOptions::default(),
            access: AccessConfig::default(),
            limits: Limits::default(),
            partition: PartitionOptions::default(),
            jwt: JwtOptions::default(),
        }
    }
}

/// Shorter times would take a loaded machine for a hung process.
fn app_timeout(text: &str) -> Result<Duration, String> {
    let timeout = positive_duration(text)?;
    if timeout >= Duration::from_secs(1) { Ok(timeout) } else { Err("below 1s".to_owned()) }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(clap::Parser)]
    struct Program {
        #[command(flatten)]
        config: Config,
    }

    #[test]
    fn omitted_options_have_the_default_values() {
        let parsed = Program::try_parse_from(["core"]).unwrap().config;
        assert_eq!(format!("{parsed:?}"), format!("{:?}", Config::default()));
    }

    #[test]
    fn the_app_timeout_is_at_least_a_second() {
        for (text, ok) in [("999ms", false), ("1s", true), ("1001ms", true)] {
            let parsed = Program::try_parse_from(["core", "--app-timeout", text]);
            assert_eq!(parsed.is_ok(), ok, "{text}");
        }
    }

    #[test]
    fn a_link_for_other_machines_needs_tls_or_consent() {
        let files = ["--mtls-ca", "ca", "--mtls-cert", "cert", "--mtls-key", "key"];
        for (address, options, ok) in [
            ("127.0.0.1:7403", &[][..], true),
            ("[::1]:7403", &[], true),
            ("0.0.0.0:7403", &[], false),
            ("10.0.0.1:7403", &[], false),
            ("0.0.0.0:7403", &["--insecure"], true),
            ("0.0.0.0:7403", &files, true),
        ] {
            let parsed = Program::try_parse_from(["core"].iter().chain(options)).unwrap();
            let checked = parsed.config.check_listener("--link", address.parse().unwrap());
            assert_eq!(checked.is_ok(), ok, "{address} {options:?}: {checked:?}");
            if let Err(error) = checked {
                let error = error.to_string();
                assert!(error.contains("--mtls-ca") && error.contains("--insecure"), "{error}");
            }
        }
    }

    #[test]
    fn the_number_of_partitions_is_bounded() {
        for (count, ok) in [(0, false), (1, true), (65_535, true), (65_536, true), (65_537, false)]
        {
            let parsed = Program::try_parse_from(["core", "--partitions", &count.to_string()]);
            assert_eq!(parsed.is_ok(), ok, "{count}");
        }
    }
}

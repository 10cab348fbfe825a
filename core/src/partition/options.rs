//! Options of partitions: application grace time, subprotocols, checkpoints, lease.

use std::time::Duration;

use clap::Args;
use clap::builder::BoolishValueParser;
use minerva_runtime::positive_duration;

use super::subprotocols::Subprotocol;
use crate::store::STORED_VERSION;

/// Options of every partition of a core.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "State")]
pub struct PartitionOptions {
    /// How long a stream waits for its app instance to reconnect before another instance gets the stream.
    #[arg(long, env = "MINERVA_APP_GRACE", default_value = "2s", value_name = "TIME", value_parser = positive_duration,
        help_heading = "App services")]
    pub app_grace: Duration,

    /// The same if the connection of the instance broke off, and another instance of the service is there; at most
    /// --app-grace. An instance of an SDK reconnects within 100 ms and the time of a handshake.
    #[arg(long, env = "MINERVA_APP_CRASH_GRACE", default_value = "400ms", value_name = "TIME",
        value_parser = positive_duration, help_heading = "App services")]
    pub app_crash_grace: Duration,

    /// Deliveries of a stream after which the stream ends with the reason `application failed`, if each of these
    /// deliveries ended with the death of the app instance. 0: never; the stream is delivered again at growing intervals.
    #[arg(
        long,
        env = "MINERVA_MAX_ATTEMPTS",
        default_value_t = 0,
        value_name = "N",
        help_heading = "App services"
    )]
    pub max_attempts: u32,

    /// Services that clients may select, separated by commas. A client that requests SERVICE selects the service
    /// NAME if its first message is `subprotocol:NAME`. SERVICE is `default` if omitted. A client that selects
    /// nothing stays with SERVICE if SERVICE is also a NAME; otherwise the stream ends. Without this option no
    /// client can select a service.
    #[arg(
        long,
        env = "MINERVA_SUBPROTOCOLS",
        value_name = "[SERVICE=]NAME",
        value_delimiter = ',',
        help_heading = "App services"
    )]
    pub subprotocols: Vec<Subprotocol>,

    /// Log bytes per partition at which a checkpoint is written.
    #[arg(long, env = "MINERVA_CHECKPOINT_BYTES", default_value_t = 1 << 20, value_name = "BYTES")]
    pub checkpoint_bytes: usize,

    /// Log entries per partition at which a checkpoint is written.
    #[arg(long, env = "MINERVA_CHECKPOINT_ENTRIES", default_value_t = 1000, value_name = "N")]
    pub checkpoint_entries: u64,

    /// Lease of a core on its partitions, renewed at a third of this time. After the death of a core other cores
    /// take over when the lease expires.
    #[arg(long, env = "MINERVA_LEASE", default_value = "2s", value_name = "TIME", value_parser = positive_duration)]
    pub lease: Duration,

    /// Own partitions only while no core without this option is alive.
    #[arg(long, env = "MINERVA_STANDBY", value_parser = BoolishValueParser::new())]
    pub standby: bool,

    /// Newest version of stored content that this core lets the deployment write. The store uses the lowest version of
    /// all live cores, and never a lower one again. Set the version of the previous release until an upgrade is final.
    #[arg(long, env = "MINERVA_STORED_VERSION", default_value_t = STORED_VERSION, value_name = "VERSION",
        value_parser = clap::value_parser!(u32).range(1..=i64::from(STORED_VERSION)))]
    pub stored_version: u32,
}

impl Default for PartitionOptions {
    fn default() -> Self {
        Self {
            app_grace: Duration::from_secs(2),
            app_crash_grace: Duration::from_millis(400),
            max_attempts: 0,
            subprotocols: Vec::new(),
            checkpoint_bytes: 1 << 20,
            checkpoint_entries: 1000,
            lease: Duration::from_secs(2),
            standby: false,
            stored_version: STORED_VERSION,
        }
    }
}

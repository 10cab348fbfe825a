//! Options of partitions.

use std::time::Duration;

use clap::Args;
use clap::builder::BoolishValueParser;
use minerva_runtime::positive_duration;

use super::subprotocols::Subprotocol;

/// How partitions treat their log, their lease and application instances that come and go.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "State")]
pub struct PartitionOptions {
    /// How long a stream waits for its application instance to come back before another one gets it.
    #[arg(long, env = "MINERVA_APP_GRACE", default_value = "2s", value_name = "TIME", value_parser = positive_duration,
        help_heading = "App services")]
    pub app_grace: Duration,

    /// Services that clients may pick, separated by commas: one that dials SERVICE gets the service NAME if
    /// its first string is `subprotocol:NAME`. SERVICE is `default` unless named. It serves those who pick
    /// nothing only if it is a NAME itself; otherwise their streams end. Without the option nobody picks.
    #[arg(
        long,
        env = "MINERVA_SUBPROTOCOLS",
        value_name = "[SERVICE=]NAME",
        value_delimiter = ',',
        help_heading = "App services"
    )]
    pub subprotocols: Vec<Subprotocol>,

    /// Bytes in a partition's log after which it writes a checkpoint.
    #[arg(long, env = "MINERVA_CHECKPOINT_BYTES", default_value_t = 1 << 20, value_name = "BYTES")]
    pub checkpoint_bytes: usize,

    /// Entries in a partition's log after which it writes a checkpoint.
    #[arg(long, env = "MINERVA_CHECKPOINT_ENTRIES", default_value_t = 1000, value_name = "N")]
    pub checkpoint_entries: u64,

    /// How long a partition stays with a core that does not renew its claim, and how long a core counts as
    /// living; renewed every third of it. Another core takes over as soon after a death.
    #[arg(long, env = "MINERVA_LEASE", default_value = "2s", value_name = "TIME", value_parser = positive_duration)]
    pub lease: Duration,

    /// Own partitions only while there is no core without this option.
    #[arg(long, env = "MINERVA_STANDBY", value_parser = BoolishValueParser::new())]
    pub standby: bool,
}

impl Default for PartitionOptions {
    fn default() -> Self {
        Self {
            app_grace: Duration::from_secs(2),
            subprotocols: Vec::new(),
            checkpoint_bytes: 1 << 20,
            checkpoint_entries: 1000,
            lease: Duration::from_secs(2),
            standby: false,
        }
    }
}

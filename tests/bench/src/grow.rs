//! Growth of the cost of a message with the number of streams at a constant total rate, with the message length, and
//! with the number of edges.

mod edges;
mod payload;
mod streams;

use clap::ValueEnum;

use crate::config::Config;
use crate::count::at_least_one;
use crate::sheet::Sheet;
use crate::size::Size;

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Sweeps to measure, separated by commas.
    #[arg(long, default_value = "streams,payload,edges", value_delimiter = ',')]
    by: Vec<By>,
    /// Numbers of streams, separated by commas.
    #[arg(long, default_value = "100,1000,10000", value_delimiter = ',', value_parser = at_least_one)]
    streams: Vec<usize>,
    /// Messages per second of all streams together; each is echoed.
    #[arg(long, default_value_t = 2000, value_parser = at_least_one)]
    rate: usize,
    /// Message lengths of at most 262144 bytes, separated by commas (1 KB is 1,000 bytes).
    #[arg(
        long,
        default_value = "16,256,4096,65536,262144",
        value_delimiter = ',',
        value_parser = payload::length,
        value_name = "SIZE"
    )]
    payloads: Vec<Size>,
    /// Numbers of edges, separated by commas.
    #[arg(long, default_value = "1,2,3,4", value_delimiter = ',', value_parser = at_least_one)]
    edges: Vec<usize>,
    #[command(flatten)]
    config: Config,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum By {
    /// More streams at the same total rate.
    Streams,
    /// Longer messages.
    Payload,
    /// More edges with the same number of streams.
    Edges,
}

/// Measures with fresh processes for each case; false if a bar was not met.
pub(crate) async fn measure(options: &Options) -> anyhow::Result<bool> {
    let mut sheet = Sheet::new();
    for by in &options.by {
        match by {
            By::Streams => {
                streams::measure(&options.streams, options.rate, &options.config, &mut sheet)
                    .await?
            }
            By::Payload => payload::measure(&options.payloads, &options.config, &mut sheet).await?,
            By::Edges => edges::measure(&options.edges, &options.config, &mut sheet).await?,
        }
    }
    options.config.report(&sheet)
}

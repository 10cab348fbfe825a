//! How the cost of a message grows: with the number of streams at the same rate of all of them, with the length of the
//! messages, and with the number of edges.

mod edges;
mod payload;
mod streams;

use clap::ValueEnum;

use crate::config::Config;
use crate::count::at_least_one;
use crate::sheet::Sheet;
use crate::size::Size;

/// What grows, and how far.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// What grows.
    #[arg(long, default_value = "streams,payload,edges", value_delimiter = ',')]
    by: Vec<By>,
    /// Numbers of streams, with commas in between.
    #[arg(long, default_value = "100,1000,10000", value_delimiter = ',', value_parser = at_least_one)]
    streams: Vec<usize>,
    /// Strings a second of all streams together, each of which comes back.
    #[arg(long, default_value_t = 2000, value_parser = at_least_one)]
    rate: usize,
    /// Lengths of messages, with commas in between: at most 262144 bytes (KB are thousands).
    #[arg(
        long,
        default_value = "16,256,4096,65536,262144",
        value_delimiter = ',',
        value_parser = payload::length,
        value_name = "SIZE"
    )]
    payloads: Vec<Size>,
    /// Numbers of edges, with commas in between.
    #[arg(long, default_value = "1,2,3,4", value_delimiter = ',', value_parser = at_least_one)]
    edges: Vec<usize>,
    #[command(flatten)]
    config: Config,
}

/// One of the sweeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum By {
    /// More streams, at the same rate of all together.
    Streams,
    /// Longer messages.
    Payload,
    /// More edges, as many streams.
    Edges,
}

/// Measures, with fresh processes for each case; false if a bar was not met.
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

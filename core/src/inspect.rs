//! The command `minerva-core store`: inspects and repairs a store, with or without running cores.
//!
//! The program parses [`StoreCommand`] and calls [`run`]. All reads are made without a claim. Neither messages nor stream
//! ids nor credentials are printed; only `export` copies them, into files.

mod check;
mod export;
mod partition;
mod quarantine;
mod show;
#[cfg(test)]
mod tests;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use minerva_proto::StreamNumber;

use crate::store::{self, MAX_PARTITIONS, OperatorStore, StoreError, StoreUrl};

/// Commands for the store of a deployment.
#[derive(Clone, Debug, clap::Subcommand)]
pub enum StoreCommand {
    /// Read every partition, verify all checksums, replay the logs, and print a table; exit with 1 if anything is
    /// damaged. Works beside running cores.
    Check {
        /// Check only this partition.
        #[arg(long, value_name = "NUMBER")]
        partition: Option<u32>,
    },
    /// Print the state of streams, without messages, ids and credentials. Works beside running cores.
    Show {
        /// Show only the streams of this partition.
        #[arg(long, value_name = "NUMBER")]
        partition: Option<u32>,
        /// Show only the stream with this number.
        #[arg(long, value_name = "NUMBER", conflicts_with = "hash")]
        stream: Option<u64>,
        /// Show only streams with this short hash, as in the logs.
        #[arg(long, value_name = "SHORT")]
        hash: Option<String>,
    },
    /// Write all stored blobs of a partition to files, for a bug report. The files contain messages, stream ids and
    /// credentials. Works beside running cores.
    Export {
        /// The partition to export.
        #[arg(long, value_name = "NUMBER")]
        partition: u32,
        /// Directory of the files, created if absent.
        #[arg(long, value_name = "DIR", default_value = "minerva-export")]
        out: PathBuf,
    },
    /// End one stream with `state lost`, or move a whole unreadable partition aside. The blobs are kept in the store.
    #[command(group = clap::ArgGroup::new("what").required(true).args(["stream", "all"]))]
    Quarantine {
        /// The partition.
        #[arg(long, value_name = "NUMBER")]
        partition: u32,
        /// Number of the stream to end.
        #[arg(long, value_name = "NUMBER")]
        stream: Option<u64>,
        /// Move the whole partition aside: all of its streams end with `state lost`.
        #[arg(long)]
        all: bool,
        /// Take the partition from the core that holds it.
        #[arg(long)]
        force: bool,
    },
}

/// A store command failed, or has found damage.
#[derive(Debug, thiserror::Error)]
pub enum StoreCommandError {
    /// The store cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The store has damage.
    #[error("damage found in {partitions} of {checked} partitions")]
    Damaged {
        /// Partitions with damage.
        partitions: usize,
        /// Partitions that were read.
        checked: usize,
    },
    /// There is nothing with the given number or hash.
    #[error("{0}")]
    NotFound(String),
    /// Another core holds the partition.
    #[error(
        "core `{owner}` holds partition {partition}: stop that core, or use --force to take the partition from it"
    )]
    Held {
        /// Name of the core.
        owner: String,
        /// The partition.
        partition: u32,
    },
    /// A newer program has written the partition.
    #[error("partition {partition}: {text}; use a newer program")]
    Newer {
        /// The partition.
        partition: u32,
        /// The blob, and both versions.
        text: String,
    },
    /// A file cannot be written.
    #[error("cannot write {path}: {error}")]
    File {
        /// Path of the file.
        path: PathBuf,
        /// Cause.
        error: io::Error,
    },
}

/// Runs a command on the store at `url` and returns the text to print.
///
/// # Errors
/// If the store cannot be used, and if `check` finds damage; `print` receives the table before.
pub async fn run(
    command: &StoreCommand,
    url: &StoreUrl,
    print: impl Fn(&str),
) -> Result<(), StoreCommandError> {
    let store = open(url).await?;
    let count = store.partition_count().await?.ok_or_else(|| no_store(url))?;
    let numbers = |partition: Option<u32>| partitions(count, partition);
    match command {
        StoreCommand::Check { partition } => {
            check::check(&*store, numbers(*partition)?, &print).await
        }
        StoreCommand::Show { partition, stream, hash } => {
            let stream = stream.map(StreamNumber);
            let partition = partition.or(stream.map(|stream| stream.partition().into()));
            let filter = show::Filter { stream, hash: hash.clone() };
            show::show(&*store, numbers(partition)?, &filter, &print).await
        }
        StoreCommand::Export { partition, out } => {
            numbers(Some(*partition))?;
            export::export(&*store, *partition, out, &print).await
        }
        StoreCommand::Quarantine { partition, stream, force, .. } => {
            numbers(Some(*partition))?;
            let target = quarantine::Target { partition: *partition, force: *force };
            match stream.map(StreamNumber) {
                Some(stream) => target.end_stream(&*store, stream, &print).await,
                None => target.set_aside(&*store, &print).await,
            }
        }
    }
}

/// Opens an existing store.
async fn open(url: &StoreUrl) -> Result<Arc<dyn OperatorStore>, StoreError> {
    match url {
        StoreUrl::Memory => Err(StoreError::Config(
            "--store memory: has no data outside of its process; name a Redis or redb store"
                .to_owned(),
        )),
        StoreUrl::Redb(directory) if !store::redb::exists(directory) => Err(no_store(url)),
        StoreUrl::Redb(_) | StoreUrl::Redis(_) => {
            let url = url.clone();
            let opened = tokio::task::spawn_blocking(move || store::open(&url)).await;
            opened.map_err(|error| StoreError::Unavailable(error.to_string()))?
        }
    }
}

fn no_store(url: &StoreUrl) -> StoreError {
    StoreError::Config(format!("--store {url}: no core has used this store; check the option"))
}

/// The partitions to read: all, or the given one.
///
/// # Errors
/// [`StoreError::Corrupt`] if no store can have `count` partitions; [`StoreError::Config`] if the given one is beyond.
fn partitions(count: u32, partition: Option<u32>) -> Result<std::ops::Range<u32>, StoreError> {
    if !(1..=MAX_PARTITIONS).contains(&count) {
        let problem = format!("its number of partitions is {count}, not 1 to {MAX_PARTITIONS}");
        return Err(StoreError::Corrupt(problem));
    }
    match partition {
        None => Ok(0..count),
        Some(partition) if partition < count => Ok(partition..partition + 1),
        Some(partition) => Err(StoreError::Config(format!(
            "--partition {partition}: the store has partitions 0 to {}",
            count - 1
        ))),
    }
}

//! The limits of streams and partitions, as options of the program. What they mean is written beside
//! each; who keeps them is the stream machine and the partition.

use std::time::Duration;

use clap::Args;
use minerva_runtime::positive_duration;

/// Limits; every one can be set on the command line or in the environment.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Streams")]
pub struct Limits {
    /// How long a stream lives without any transport, unless its application says otherwise.
    #[arg(long, env = "MINERVA_MAX_IDLE", default_value = "120s", value_name = "TIME", value_parser = positive_duration)]
    pub max_idle: Duration,

    /// Bytes of strings that a stream holds for its application before it takes no more from the client.
    #[arg(long, env = "MINERVA_INBOX_BYTES", default_value_t = 1 << 20, value_name = "BYTES", value_parser = parse_bytes)]
    pub inbox_bytes: usize,

    /// Strings that a stream holds for its application before it takes no more from the client.
    #[arg(long, alias = "inbox-strings", env = "MINERVA_INBOX_MESSAGES", default_value_t = 1000, value_name = "N", value_parser = parse_strings)]
    pub inbox_messages: usize,

    /// Bytes of strings that a stream holds for its client before it takes no more from the application.
    #[arg(long, env = "MINERVA_OUTBOX_BYTES", default_value_t = 1 << 20, value_name = "BYTES", value_parser = parse_bytes)]
    pub outbox_bytes: usize,

    /// Strings that a stream holds for its client before it takes no more from the application.
    #[arg(long, alias = "outbox-strings", env = "MINERVA_OUTBOX_MESSAGES", default_value_t = 1000, value_name = "N", value_parser = parse_strings)]
    pub outbox_messages: usize,

    /// Bytes that may wait behind a gap in what the client sent; each string counts as 30 more.
    #[arg(long, env = "MINERVA_RWIN_BYTES", default_value_t = 1 << 20, value_name = "BYTES", value_parser = parse_bytes)]
    pub rwin_bytes: usize,

    /// Strings that may wait behind a gap in what the client sent.
    #[arg(long, alias = "rwin-strings", env = "MINERVA_RWIN_MESSAGES", default_value_t = 50, value_name = "N", value_parser = parse_strings)]
    pub rwin_messages: usize,

    /// Transports that a stream has at the same time.
    #[arg(long, env = "MINERVA_TRANSPORTS_PER_STREAM", default_value_t = 8, value_name = "N", value_parser = parse_size)]
    pub transports_per_stream: usize,

    /// How long a connected client may acknowledge nothing of what waits for it.
    #[arg(long, env = "MINERVA_SLOW_CLIENT_TIME", default_value = "120s", value_name = "TIME", value_parser = positive_duration)]
    pub slow_client_time: Duration,

    /// How long the end of a stream waits for its application to acknowledge it. Then the stream is forgotten,
    /// with what the application has not acknowledged.
    #[arg(long, env = "MINERVA_KEEP_ENDED", default_value = "24h", value_name = "TIME", value_parser = positive_duration)]
    pub keep_ended: Duration,

    /// Streams of one partition that wait for an application instance, those that ended included. Beyond it
    /// no stream is made for a service that has no instance.
    #[arg(long, env = "MINERVA_MAX_UNSERVED", default_value_t = 1000, value_name = "N", value_parser = parse_size)]
    pub max_unserved: usize,

    /// Streams that one partition has at the same time, those that ended and wait for their application
    /// included; no more are made beyond.
    #[arg(long, env = "MINERVA_MAX_STREAMS", default_value_t = 100_000, value_name = "N", value_parser = parse_size)]
    pub max_streams: usize,
}

impl Limits {
    /// The idle limit in milliseconds.
    pub fn max_idle_ms(&self) -> u64 {
        millis(self.max_idle)
    }

    /// The time of a stream that has ended, in milliseconds.
    pub fn keep_ended_ms(&self) -> u64 {
        millis(self.keep_ended)
    }

    /// The slow client's time in milliseconds.
    pub fn slow_client_ms(&self) -> u64 {
        millis(self.slow_client_time)
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_idle: Duration::from_secs(120),
            inbox_bytes: 1 << 20,
            inbox_messages: 1000,
            outbox_bytes: 1 << 20,
            outbox_messages: 1000,
            rwin_bytes: 1 << 20,
            rwin_messages: 50,
            transports_per_stream: 8,
            slow_client_time: Duration::from_secs(120),
            keep_ended: Duration::from_secs(24 * 3600),
            max_unserved: 1000,
            max_streams: 100_000,
        }
    }
}

/// Most bytes of one kind that a stream may hold, and most strings: a whole stream has to fit into one call
/// of the store ([`crate::store::MAX_BLOB`]), three kinds of bytes and what may overdraw them.
pub(crate) const MOST_BYTES: usize = 6 << 20;
pub(crate) const MOST_STRINGS: usize = 100_000;

fn parse_bytes(text: &str) -> Result<usize, String> {
    parse_up_to(MOST_BYTES, text)
}

fn parse_strings(text: &str) -> Result<usize, String> {
    parse_up_to(MOST_STRINGS, text)
}

fn parse_size(text: &str) -> Result<usize, String> {
    parse_up_to(1 << 30, text)
}

fn parse_up_to(most: usize, text: &str) -> Result<usize, String> {
    let size = text.parse().ok().filter(|size| (1..=most).contains(size));
    size.ok_or_else(|| format!("`{text}` is not a number from 1 to {most}"))
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_bounds() {
        for (text, size) in [
            ("0", None),
            ("1", Some(1)),
            ("1073741824", Some(1 << 30)),
            ("1073741825", None),
            ("x", None),
        ] {
            assert_eq!(parse_size(text).ok(), size, "{text}");
        }
        for (bytes, ok) in [(MOST_BYTES - 1, true), (MOST_BYTES, true), (MOST_BYTES + 1, false)] {
            assert_eq!(parse_bytes(&bytes.to_string()).is_ok(), ok, "{bytes}");
        }
        for (count, ok) in [(99_999, true), (100_000, true), (100_001, false)] {
            assert_eq!(parse_strings(&count.to_string()).is_ok(), ok, "{count}");
        }
    }
}

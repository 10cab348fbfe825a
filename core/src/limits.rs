//! The limits of streams and partitions as command-line options; enforced by the stream machine and the partition.

use std::time::Duration;

use clap::Args;
use minerva_runtime::{duration, positive_duration};

/// Limits of the streams of a core.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Streams")]
pub struct Limits {
    /// Lifetime of a stream without a transport; an application can set another one per stream.
    #[arg(long, env = "MINERVA_MAX_IDLE", default_value = "120s", value_name = "TIME", value_parser = positive_duration)]
    pub max_idle: Duration,

    /// Bytes in the inbox of a stream at which no more messages of the client are accepted.
    #[arg(long, env = "MINERVA_INBOX_BYTES", default_value_t = 1 << 20, value_name = "BYTES", value_parser = parse_bytes)]
    pub inbox_bytes: usize,

    /// Messages in the inbox of a stream at which no more messages of the client are accepted.
    #[arg(long, alias = "inbox-strings", env = "MINERVA_INBOX_MESSAGES", default_value_t = 1000, value_name = "N", value_parser = parse_messages)]
    pub inbox_messages: usize,

    /// Bytes in the outbox of a stream at which no more messages of the application are accepted.
    #[arg(long, env = "MINERVA_OUTBOX_BYTES", default_value_t = 1 << 20, value_name = "BYTES", value_parser = parse_bytes)]
    pub outbox_bytes: usize,

    /// Messages in the outbox of a stream at which no more messages of the application are accepted.
    #[arg(long, alias = "outbox-strings", env = "MINERVA_OUTBOX_MESSAGES", default_value_t = 1000, value_name = "N", value_parser = parse_messages)]
    pub outbox_messages: usize,

    /// Bytes of messages received out of order; each message counts 30 bytes more.
    #[arg(long, env = "MINERVA_RWIN_BYTES", default_value_t = 1 << 20, value_name = "BYTES", value_parser = parse_bytes)]
    pub rwin_bytes: usize,

    /// Number of messages received out of order.
    #[arg(long, alias = "rwin-strings", env = "MINERVA_RWIN_MESSAGES", default_value_t = 50, value_name = "N", value_parser = parse_messages)]
    pub rwin_messages: usize,

    /// Bytes of acknowledged messages that one partition retains for new page loads of clients. Beyond this number the
    /// stream with the most bytes drops its oldest messages. 0: none.
    #[arg(long, env = "MINERVA_RETAINED_BYTES", default_value_t = 16 << 20, value_name = "BYTES", value_parser = parse_retained)]
    pub retained_bytes: usize,

    /// Bytes of acknowledged messages that this core retains for all streams of one client address. Beyond this number a
    /// stream of the address drops its oldest ones.
    #[arg(long, env = "MINERVA_MAX_RETAINED_BYTES_PER_ADDRESS", default_value_t = 64 << 20, value_name = "BYTES", value_parser = parse_budget)]
    pub max_retained_bytes_per_address: u64,

    /// Concurrent transports of a stream.
    #[arg(long, env = "MINERVA_TRANSPORTS_PER_STREAM", default_value_t = 8, value_name = "N", value_parser = parse_size)]
    pub transports_per_stream: usize,

    /// Maximum rate, for each stream, of transports that replace an open one at any edge, in a second; ten seconds of the
    /// rate may come at once. Set no less than `--max-takeovers` of the edges.
    #[arg(long, env = "MINERVA_MAX_STREAM_TAKEOVERS", value_name = "N", default_value_t = 5,
        value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub max_stream_takeovers: u32,

    /// Longest time in which a connected client acknowledges none of its messages.
    #[arg(long, env = "MINERVA_SLOW_CLIENT_TIME", default_value = "120s", value_name = "TIME", value_parser = positive_duration)]
    pub slow_client_time: Duration,

    /// Longest time without an acknowledgement of a delivered event. Then the stream moves to another app instance; without
    /// one, or after a move, it ends with the reason `application timeout`. 0s: no limit, a handler may take long. An
    /// application can set another time per stream.
    #[arg(long, env = "MINERVA_ACK_TIMEOUT", default_value = "0s", value_name = "TIME", value_parser = duration, help_heading = "App services")]
    pub ack_timeout: Duration,

    /// Time for the application to acknowledge the end of a stream. The stream is forgotten afterwards, with all
    /// unacknowledged events.
    #[arg(long, env = "MINERVA_KEEP_ENDED", default_value = "24h", value_name = "TIME", value_parser = positive_duration)]
    pub keep_ended: Duration,

    /// Streams of one partition without an app instance, ended ones included. Beyond this number no stream is
    /// created for a service without an instance.
    #[arg(long, env = "MINERVA_MAX_UNSERVED", default_value_t = 1000, value_name = "N", value_parser = parse_size)]
    pub max_unserved: usize,

    /// Concurrent streams of one partition, including ended ones that wait for their application.
    #[arg(long, env = "MINERVA_MAX_STREAMS", default_value_t = 100_000, value_name = "N", value_parser = parse_size)]
    pub max_streams: usize,

    /// Streams of one client address on this core, ended ones included. An address is an IPv4 address or an IPv6 /64
    /// network, as the edge sees it. Beyond this number new streams are refused for a while.
    #[arg(long, env = "MINERVA_MAX_STREAMS_PER_ADDRESS", default_value_t = 10_000, value_name = "N", value_parser = parse_budget)]
    pub max_streams_per_address: u64,

    /// Bytes of unacknowledged client messages of one client address on this core. Beyond this number no more messages of
    /// these clients are accepted.
    #[arg(long, env = "MINERVA_MAX_HELD_BYTES_PER_ADDRESS", default_value_t = 64 << 20, value_name = "BYTES", value_parser = parse_budget)]
    pub max_held_bytes_per_address: u64,

    /// Bytes of unacknowledged client messages of one service on this core at which no more are accepted for its streams
    /// without an app instance.
    #[arg(long, env = "MINERVA_MAX_INBOX_BYTES_PER_SERVICE", default_value_t = 256 << 20, value_name = "BYTES", value_parser = parse_budget)]
    pub max_inbox_bytes_per_service: u64,

    /// Tolerated difference between the clocks of the issuers of tokens and of this core.
    #[arg(long, env = "MINERVA_JWT_LEEWAY", default_value = "30s", value_name = "TIME", value_parser = leeway, help_heading = "Tokens of clients")]
    pub jwt_leeway: Duration,

    /// Time before the end of a token at which the client is asked for a new one; half of the rest for shorter tokens.
    #[arg(long, env = "MINERVA_JWT_RENEW_BEFORE", default_value = "60s", value_name = "TIME", value_parser = positive_duration, help_heading = "Tokens of clients")]
    pub jwt_renew_before: Duration,

    /// Make this claim the label of each new stream: `sub`.
    #[arg(
        long,
        env = "MINERVA_JWT_LABEL",
        value_name = "CLAIM",
        help_heading = "Tokens of clients"
    )]
    pub jwt_label: Option<LabelClaim>,
}

/// A claim that can be the label of a stream.
#[derive(clap::ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum LabelClaim {
    /// The subject.
    Sub,
}

impl Limits {
    /// `max_idle` in milliseconds.
    pub fn max_idle_ms(&self) -> u64 {
        millis(self.max_idle)
    }

    /// `ack_timeout` in milliseconds; 0 without a limit.
    pub fn ack_timeout_ms(&self) -> u64 {
        millis(self.ack_timeout)
    }

    /// `keep_ended` in milliseconds.
    pub fn keep_ended_ms(&self) -> u64 {
        millis(self.keep_ended)
    }

    /// `jwt_renew_before` in milliseconds.
    pub fn jwt_renew_before_ms(&self) -> u64 {
        millis(self.jwt_renew_before)
    }

    /// `slow_client_time` in milliseconds.
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
            retained_bytes: 16 << 20,
            max_retained_bytes_per_address: 64 << 20,
            transports_per_stream: 8,
            max_stream_takeovers: 5,
            slow_client_time: Duration::from_secs(120),
            ack_timeout: Duration::ZERO,
            keep_ended: Duration::from_secs(24 * 3600),
            max_unserved: 1000,
            max_streams: 100_000,
            max_streams_per_address: 10_000,
            max_held_bytes_per_address: 64 << 20,
            max_inbox_bytes_per_service: 256 << 20,
            jwt_leeway: Duration::from_secs(30),
            jwt_renew_before: Duration::from_secs(60),
            jwt_label: None,
        }
    }
}

/// Largest byte limit of an inbox, an outbox or a receive window.
///
/// A stream with all three full, and each exceeded by its last message or batch, must fit into one call of the store
/// ([`crate::store::MAX_BLOB`]).
pub(crate) const MAX_LIMIT_BYTES: usize = 6 << 20;
/// Largest message limit of an inbox, an outbox or a receive window.
pub(crate) const MAX_LIMIT_MESSAGES: usize = 100_000;

fn parse_bytes(text: &str) -> Result<usize, String> {
    parse_up_to(MAX_LIMIT_BYTES, text)
}

fn parse_messages(text: &str) -> Result<usize, String> {
    parse_up_to(MAX_LIMIT_MESSAGES, text)
}

fn parse_size(text: &str) -> Result<usize, String> {
    parse_up_to(1 << 30, text)
}

fn parse_retained(text: &str) -> Result<usize, String> {
    let size = text.parse().ok().filter(|size| *size <= 1 << 40);
    size.ok_or_else(|| format!("`{text}` is not a number from 0 to {}", 1_u64 << 40))
}

fn parse_budget(text: &str) -> Result<u64, String> {
    Ok(parse_up_to(1 << 40, text)? as u64)
}

/// A longer tolerance would make the end of a token meaningless.
fn leeway(text: &str) -> Result<Duration, String> {
    let leeway = duration(text)?;
    if leeway <= Duration::from_secs(300) { Ok(leeway) } else { Err("above 5m".to_owned()) }
}

fn parse_up_to(max: usize, text: &str) -> Result<usize, String> {
    let size = text.parse().ok().filter(|size| (1..=max).contains(size));
    size.ok_or_else(|| format!("`{text}` is not a number from 1 to {max}"))
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_bounded() {
        for (text, size) in [
            ("0", None),
            ("1", Some(1)),
            ("1073741824", Some(1 << 30)),
            ("1073741825", None),
            ("x", None),
        ] {
            assert_eq!(parse_size(text).ok(), size, "{text}");
        }
        for (bytes, ok) in
            [(MAX_LIMIT_BYTES - 1, true), (MAX_LIMIT_BYTES, true), (MAX_LIMIT_BYTES + 1, false)]
        {
            assert_eq!(parse_bytes(&bytes.to_string()).is_ok(), ok, "{bytes}");
        }
        for (count, ok) in [(99_999, true), (100_000, true), (100_001, false)] {
            assert_eq!(parse_messages(&count.to_string()).is_ok(), ok, "{count}");
        }
    }
}

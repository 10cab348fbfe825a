//! Options of an edge, for `minerva-edge` and for programs that embed an edge. Each option has an environment
//! variable. Combinations are checked by `edge.rs`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::Args;
use clap::builder::BoolishValueParser;

use minerva_proto::{ServiceName, ServiceNameError};
use minerva_runtime::doctor::{ClientRequirements, Finding};
use minerva_runtime::{address as parse_address, duration};

use crate::access::ForwardedHeader;
use crate::files;
use crate::tls;

/// Default of `--listen-backlog`, equal to the default of `net.core.somaxconn` since Linux 5.4.
const DEFAULT_BACKLOG: u32 = 4096;

/// Default of `--max-waiting-bytes`: 1,000 transports at their limit of 256 KiB.
const DEFAULT_WAITING: u32 = 256 << 20;

/// Default of `--max-unfinished-bytes`: 64 frames of the maximum length.
const DEFAULT_UNFINISHED: u32 = 64 << 20;

/// Options of an edge.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Clients")]
// Two programs in one flatten two of these: the group needs a name of its own.
#[group(id = "edge")]
pub struct Config {
    /// Address on which clients connect, over every transport.
    #[arg(long, env = "MINERVA_LISTEN", value_name = "ADDR", default_value = "127.0.0.1:8080",
        value_parser = parse_address)]
    pub listen: SocketAddr,

    /// More ports, separated by commas. SERVICE is the service of TCP clients and of paths without a service
    /// name on that port.
    #[arg(
        long,
        env = "MINERVA_EXTRA_LISTEN",
        value_name = "[SERVICE=]ADDR",
        value_delimiter = ','
    )]
    pub extra_listen: Vec<Port>,

    /// Ports in the same format for proxies that send the client's address by the PROXY protocol, version 1.
    /// Connections of proxies that are not in --trust-forwarded-for are rejected.
    #[arg(
        long,
        env = "MINERVA_PROXY_LISTEN",
        value_name = "[SERVICE=]ADDR",
        value_delimiter = ','
    )]
    pub proxy_listen: Vec<Port>,

    /// Ports in the same format for HTTPS, WSS and raw TCP over TLS. Requires --tls-certificate and --tls-key.
    #[arg(
        long,
        env = "MINERVA_TLS_LISTEN",
        value_name = "[SERVICE=]ADDR",
        value_delimiter = ',',
        global = true
    )]
    pub tls_listen: Vec<Port>,

    /// PEM file with the server's certificate chain. Reloaded on SIGHUP.
    #[arg(long, env = "MINERVA_TLS_CERTIFICATE", value_name = "FILE", global = true)]
    pub tls_certificate: Option<PathBuf>,

    /// PEM file with the certificate's private key, without a password. Reloaded on SIGHUP.
    #[arg(long, env = "MINERVA_TLS_KEY", value_name = "FILE", global = true)]
    pub tls_key: Option<PathBuf>,

    /// Origins of allowed web pages, separated by commas, such as https://example.com, or * for all. By default
    /// pages of the same host and port are allowed.
    #[arg(long, env = "MINERVA_ORIGINS", value_name = "ORIGIN", value_delimiter = ',')]
    pub origins: Vec<String>,

    /// Host names under which clients reach this server, separated by commas: example.com, *.example.com for
    /// subdomains, addresses, or * for all. Requests for other names are refused. By default a loopback address serves
    /// loopback names only (except over TLS and to proxies of --trust-forwarded-for), and another one every name.
    #[arg(long, env = "MINERVA_HOSTS", value_name = "NAME", value_delimiter = ',')]
    pub hosts: Vec<String>,

    /// Reject HTTP and WebSocket clients without an Origin header, which browsers always send.
    #[arg(long, env = "MINERVA_REQUIRE_ORIGIN", value_parser = BoolishValueParser::new())]
    pub require_origin: bool,

    /// Maximum number of open connections; further ones wait in the backlog. Raises the limit of open files.
    #[arg(long, env = "MINERVA_MAX_CONNECTIONS", value_name = "N", global = true,
        default_value_t = 50_000,
        value_parser = clap::value_parser!(u32).range(1..=4_000_000))]
    pub max_connections: u32,

    /// Maximum number of open connections of one client address (IPv6: of one /64 network). A loopback or private
    /// address has no limit without --trust-forwarded-for, and proxies of that option have none.
    #[arg(long, env = "MINERVA_MAX_CONNECTIONS_PER_ADDRESS", value_name = "N",
        default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..=4_000_000))]
    pub max_connections_per_address: u32,

    /// Maximum rate, for each client address, of hellos for streams that do not exist, in a second; ten seconds of the
    /// rate may come at once.
    #[arg(long, env = "MINERVA_MAX_UNKNOWN_STREAMS", value_name = "N",
        default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub max_unknown_streams: u32,

    /// Maximum rate, for each stream, of transports that replace an open one, in a second; ten seconds of the rate may
    /// come at once.
    #[arg(long, env = "MINERVA_MAX_TAKEOVERS", value_name = "N",
        default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub max_takeovers: u32,

    /// Maximum memory for frames of all clients that are not complete yet, in bytes. The first 64 KiB of each frame
    /// are not counted; one client address may use a quarter, and always one frame of --max-frame.
    #[arg(long, env = "MINERVA_MAX_UNFINISHED_BYTES", value_name = "BYTES",
        default_value_t = DEFAULT_UNFINISHED,
        value_parser = clap::value_parser!(u32).range(1 << 20..))]
    pub max_unfinished_bytes: u32,

    /// Maximum memory for messages of all clients that wait for the core or for a slow client, in bytes. Beyond it each
    /// transport keeps at most 16 KiB and one read; sockets with more are not read meanwhile.
    #[arg(long, env = "MINERVA_MAX_WAITING_BYTES", value_name = "BYTES",
        default_value_t = DEFAULT_WAITING,
        value_parser = clap::value_parser!(u32).range(1 << 20..))]
    pub max_waiting_bytes: u32,

    /// Length of the queue of each client port, in which connections wait until they are accepted. The kernel caps
    /// the length at net.core.somaxconn.
    #[arg(long, env = "MINERVA_LISTEN_BACKLOG", value_name = "N", global = true,
        default_value_t = DEFAULT_BACKLOG, value_parser = clap::value_parser!(u32).range(1..=65_535))]
    pub listen_backlog: u32,

    /// Maximum length of a client's frame in bytes, including the type byte; of a message in version 3. At most 1048576.
    #[arg(long, env = "MINERVA_MAX_FRAME", value_name = "BYTES",
        default_value_t = minerva_proto::MAX_FRAME as u32,
        value_parser = clap::value_parser!(u32).range(1024..=minerva_proto::MAX_FRAME as i64))]
    pub max_frame: u32,

    /// Newest version of the wire protocol that clients may use, 2 or 3. Version 3 is served only if all linked cores
    /// have the same setting.
    #[arg(long, env = "MINERVA_MAX_VERSION", value_name = "VERSION", default_value_t = 2,
        value_parser = clap::value_parser!(u32).range(2..=3))]
    pub max_version: u32,

    /// Maximum time that a transport is kept open without an owner of its stream.
    #[arg(long, env = "MINERVA_HOLD_TIME", value_name = "TIME", default_value = "30s",
        value_parser = duration)]
    pub hold_time: Duration,

    /// Time for clients to reconnect elsewhere after SIGTERM, before remaining connections are closed.
    #[arg(long, env = "MINERVA_DRAIN_TIME", value_name = "TIME", default_value = "10s",
        value_parser = duration)]
    pub drain_time: Duration,

    /// Request headers that are passed to the application, separated by commas.
    #[arg(
        long,
        env = "MINERVA_PASS_HEADERS",
        value_name = "NAME",
        value_delimiter = ',',
        default_value = "user-agent,accept-language"
    )]
    pub pass_headers: Vec<String>,

    /// Trusted proxies, separated by commas: addresses or networks such as 10.0.0.0/8. The client's address is taken
    /// from the header that they write (--forwarded-header).
    #[arg(
        long,
        env = "MINERVA_TRUST_FORWARDED_FOR",
        value_name = "NETWORK",
        value_delimiter = ','
    )]
    pub trust_forwarded_for: Vec<String>,

    /// Header with the client's address that trusted proxies write; they must replace or extend a value that the
    /// client has sent.
    #[arg(
        long,
        env = "MINERVA_FORWARDED_HEADER",
        value_name = "NAME",
        default_value = "x-forwarded-for"
    )]
    pub forwarded_header: ForwardedHeader,

    /// Policy file for Flash clients; the default allows every domain.
    #[arg(long, env = "MINERVA_POLICY_FILE", value_name = "FILE")]
    pub policy_file: Option<PathBuf>,

    /// Echo the messages of WebSockets instead of opening transports: for WebSocket test suites.
    #[cfg(feature = "echo")]
    #[arg(skip)]
    pub echo_websockets: bool,
}

impl Config {
    /// Requirements of the clients on the machine, for `minerva-edge doctor`.
    pub fn client_requirements(&self) -> ClientRequirements {
        let connections = self.max_connections;
        let open_files = files::needed(connections);
        ClientRequirements { connections, open_files, backlog: self.listen_backlog }
    }

    /// Checks certificate and key, if configured, for `minerva-edge doctor`.
    pub fn examine_tls(&self) -> Option<Finding> {
        tls::examine(self.tls_files(), !self.tls_listen.is_empty())
    }

    /// Paths of `--tls-certificate` and `--tls-key`.
    pub(crate) fn tls_files(&self) -> tls::Paths<'_> {
        let (certificate, key) = (self.tls_certificate.as_deref(), self.tls_key.as_deref());
        tls::Paths { certificate, key }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            extra_listen: Vec::new(),
            proxy_listen: Vec::new(),
            tls_listen: Vec::new(),
            tls_certificate: None,
            tls_key: None,
            origins: Vec::new(),
            hosts: Vec::new(),
            require_origin: false,
            max_connections: 50_000,
            max_connections_per_address: 256,
            max_unknown_streams: 20,
            max_takeovers: 5,
            max_unfinished_bytes: DEFAULT_UNFINISHED,
            max_waiting_bytes: DEFAULT_WAITING,
            listen_backlog: DEFAULT_BACKLOG,
            max_frame: minerva_proto::MAX_FRAME as u32,
            max_version: 2,
            hold_time: Duration::from_secs(30),
            drain_time: Duration::from_secs(10),
            pass_headers: vec!["user-agent".to_owned(), "accept-language".to_owned()],
            trust_forwarded_for: Vec::new(),
            forwarded_header: ForwardedHeader::default(),
            policy_file: None,
            #[cfg(feature = "echo")]
            echo_websockets: false,
        }
    }
}

/// A listening address and the service of its clients.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Port {
    /// Service of TCP clients, and of paths without a service name.
    pub service: ServiceName,
    /// Listening address.
    pub address: SocketAddr,
}

impl FromStr for Port {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (service, address) = match text.split_once('=') {
            Some((service, address)) => {
                (service.parse().map_err(|error: ServiceNameError| error.to_string())?, address)
            }
            None => (ServiceName::default(), text),
        };
        Ok(Self { service, address: parse_address(address)? })
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Program {
        #[command(flatten)]
        config: Config,
    }

    fn parse(args: &[&str]) -> Result<Config, clap::Error> {
        Program::try_parse_from(std::iter::once(&"edge").chain(args)).map(|program| program.config)
    }

    #[test]
    fn defaults_are_the_same_from_the_command_line_and_in_code() {
        let parsed = parse(&[]).unwrap();
        assert_eq!(format!("{parsed:?}"), format!("{:?}", Config::default()));
    }

    #[test]
    fn lists_are_separated_by_commas() {
        let config =
            parse(&["--extra-listen", "chat=127.0.0.1:1,[::1]:2", "--origins", "a,b"]).unwrap();
        assert_eq!(config.extra_listen[0].service.as_str(), "chat");
        assert_eq!(config.extra_listen[1].service, ServiceName::default());
        assert_eq!(config.origins, ["a", "b"]);
    }

    #[test]
    fn the_error_for_an_invalid_address_gives_an_example() {
        for wrong in ["localhost:8080", ":8080", "8080", ""] {
            let error = parse(&["--listen", wrong]).unwrap_err().to_string();
            assert!(error.contains("example: 127.0.0.1:8080"), "{error}");
        }
    }

    #[test]
    fn invalid_values_are_rejected() {
        for wrong in [
            ["--listen", "nowhere"],
            ["--extra-listen", "a b=127.0.0.1:1"],
            ["--extra-listen", "Chat=127.0.0.1:1"],
            ["--extra-listen", "a.b=127.0.0.1:1"],
            ["--max-connections", "0"],
            ["--max-frame", "1048577"],
            ["--max-frame", "1023"],
            ["--hold-time", "-1"],
            ["--drain-time", "8761h"],
            ["--drain-time", "NaN"],
        ] {
            assert!(parse(&wrong).is_err(), "{wrong:?}");
        }
        assert_eq!(parse(&["--max-frame", "1048576"]).unwrap().max_frame, 1 << 20);
        assert_eq!(parse(&["--hold-time", "0.5"]).unwrap().hold_time, Duration::from_millis(500));
    }
}

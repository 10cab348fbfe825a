//! Client for Minerva streams: devices and desktop programs.
//!
//! A [`Stream`] is an ordered, reliable, two-way sequence of strings with an application service. It
//! reconnects for as long as it takes, and ends only with a reset.
//!
//! The public API, in the making (this list goes once the code stands):
//!
//! ```text
//! pub use minerva_proto::StreamId;
//!
//! pub struct Config {
//!     pub address: String,              // "127.0.0.1:8080"
//!     pub service: String,              // "default"
//!     pub transport: TransportKind,
//!     pub credentials: Option<String>,  // `cred` of the hello
//!     pub id: Option<StreamId>,         // None: a random one
//!     pub headers: Vec<(String, String)>, // on HTTP and WebSocket requests, e.g. Origin
//!     pub backoff_base: Duration,       // 100 ms
//!     pub backoff_cap: Duration,        // 3 s
//!     pub heartbeat: Duration,          // 20 s (`maxia`); twice this silence: the transport is dead
//!     pub max_in_flight: usize,         // 128 KiB of unacknowledged c2s bytes on a transport
//!     pub max_queued_bytes / max_queued_strings,      // send queue: 1 MiB or 1000
//!     pub max_received_bytes / max_received_strings,  // recv queue: 256 KiB or 1000, then sockets are not read
//! }
//! impl Config { pub fn new(address: impl Into<String>, transport: TransportKind) -> Self }
//! pub enum TransportKind { Tcp, WebSocket, HttpStream, LongPoll }   // FromStr, Display, ALL
//!
//! #[derive(Clone)] pub struct Stream;   // a handle; the last one dropped closes the transports (no reset)
//! impl Stream {
//!     pub fn connect(config: Config) -> Result<Stream, ConnectError>;  // returns at once; needs a tokio runtime
//!     pub fn id(&self) -> &StreamId;
//!     pub async fn ready(&self) -> Result<(), Ended>;                  // the server made or found the stream
//!     pub async fn send(&self, string: impl Into<Bytes>) -> Result<u64, SendError>;   // Ok(number): acknowledged, i.e. durable
//!     pub async fn queue(&self, string: impl Into<Bytes>) -> Result<u64, SendError>;  // Ok: there was room, it is queued
//!     pub fn try_send(&self, string: impl Into<Bytes>) -> Result<u64, SendError>;     // Err(Full) instead of waiting
//!     pub async fn flush(&self) -> Result<(), Ended>;                  // all queued so far is acknowledged
//!     pub async fn recv(&self) -> Option<Bytes>;                       // None: the stream has ended
//!     pub fn cut(&self);                                               // drop all transports, as a bad network would
//!     pub fn switch(&self, transport: TransportKind);                  // the new transport succeeds the old one (`eeds`)
//!     pub fn reset(&self, reason: &str);                               // give the stream up; then closed().await
//!     pub fn ended(&self) -> Option<Ended>;
//!     pub async fn closed(&self) -> Ended;
//!     pub fn counters(&self) -> Counters;
//! }
//! pub struct Ended { pub reason: String, pub application_level: bool, pub by: EndedBy }   // Clone, Error
//! pub enum EndedBy { Client, Server }     // Server: a Reset frame, or the stream is unknown there
//! pub enum SendError { Ended(Ended), Full, NotAllowed /* bytes beyond 0x20-0x7E */, TooLong }
//! pub struct Counters { pub sent: u64, pub acknowledged: u64, pub received: u64, pub reconnects: u64, pub transports: u64 }
//! ```

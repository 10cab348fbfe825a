//! The errors of this SDK, one type per boundary: start of a service, messages, resets, labels and groups.

use minerva_proto::ServiceNameError;

/// A service could not start; returned by [`ServiceBuilder::start`](crate::ServiceBuilder::start). An
/// unreachable core is no such error: the service calls again.
///
/// ```no_run
/// # async fn example() {
/// use minerva_app::{Service, StartError};
///
/// match Service::connect("core:7400").name("chat").start().await {
///     Ok(service) => drop(service),
///     Err(error @ StartError::Refused { .. }) => eprintln!("try later: {error}"),
///     Err(error) => eprintln!("correct the options: {error}"),
/// }
/// # }
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// A core address cannot be parsed.
    #[error("`{address}` is not the address of a core: use HOST:PORT or http://HOST:PORT")]
    Address {
        /// The given text.
        address: String,
    },
    /// More than the maximal number of core addresses.
    #[error("{count} addresses of cores: at most {max}")]
    TooManyAddresses {
        /// Given addresses.
        count: usize,
        /// Allowed addresses.
        max: usize,
    },
    /// The service name is invalid.
    #[error("`{name}` cannot name a service: {problem}")]
    Name {
        /// The given name.
        name: String,
        /// The violated rule.
        #[source]
        problem: ServiceNameError,
    },
    /// The instance id is invalid.
    #[error("`{id}` is not an instance id: use 1 to 64 of the characters 0x21-0x7E")]
    InstanceId {
        /// The given id.
        id: String,
    },
    /// The token has characters that cannot be sent. The text never contains the token.
    #[error(
        "the token is not one line of the characters 0x21-0x7E: use the output of `minerva-core token create`"
    )]
    Token,
    /// A file of TLS cannot be used.
    #[error("TLS to the cores: {problem}")]
    Tls {
        /// The file, its problem and the fix.
        problem: String,
    },
    /// A core has refused the registration.
    #[error("a core refused the registration: {reason}")]
    Refused {
        /// Status code and text of the call.
        reason: String,
    },
}

/// A message was not sent. See [`Sender`](crate::Sender) for an example.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// The client accepts text of the bytes 0x20-0x7E only: see [`Accepts`](crate::Accepts).
    #[error("{}: the client accepts text of the bytes 0x20-0x7E only", unsupported(*.position))]
    Unsupported {
        /// Offset of the first other byte in a text message; `None` for a binary message.
        position: Option<usize>,
    },
    /// The message is too long.
    #[error("a message of {length} bytes exceeds the limit of {max}")]
    Length {
        /// Length of the message, in bytes.
        length: usize,
        /// Maximal length, in bytes.
        max: usize,
    },
    /// The stream is over for this instance: it has ended, was reset, or moved to another instance.
    #[error("the stream is over")]
    Over,
    /// This instance has finished the stream.
    #[error("the stream is finished and accepts no more messages")]
    Finished,
}

fn unsupported(position: Option<usize>) -> String {
    position.map_or_else(|| "a binary message".to_owned(), |at| format!("other text at byte {at}"))
}

/// A message was not queued at once. See [`Sender`](crate::Sender) for an example.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TrySendError {
    /// The outbox of the stream is full. Nothing was sent.
    #[error("the stream's outbox is full")]
    Full,
    /// The message can never be sent.
    #[error(transparent)]
    Refused(#[from] SendError),
}

/// The reason of a finish or a reset is too long or contains a forbidden byte. See [`Sender`](crate::Sender) for
/// an example.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a reason has at most {max} bytes, 0x20-0x7E only", max = minerva_proto::MAX_REASON)]
pub struct ReasonError;

/// A label was not set. See [`Sender`](crate::Sender) for an example.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LabelError {
    /// The label is too long or contains a forbidden byte.
    #[error("a label has at most 256 bytes, 0x20-0x7E only")]
    Invalid,
    /// The stream is over for this instance before the label is durable.
    #[error("the stream is over")]
    Over,
}

/// A stream did not join or leave a group. See [`Sender`](crate::Sender) for an example.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GroupError {
    /// The group name is invalid.
    #[error("a group name has 1 to 128 bytes, 0x21-0x7E only")]
    Name,
    /// The stream is in the maximal number of groups.
    #[error("a stream is in at most 64 groups")]
    TooMany,
    /// The stream is over for this instance before the change is durable.
    #[error("the stream is over")]
    Over,
}

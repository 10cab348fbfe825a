//! The errors of this SDK, one per boundary: starting a service, sending a message, resetting a stream.

use minerva_proto::ServiceNameError;

/// Why a service could not start. A core that cannot be reached is none of these: that is tried again.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The address of the core cannot be read.
    #[error("`{address}` is not the address of a core: use HOST:PORT or http://HOST:PORT")]
    Address {
        /// What was given.
        address: String,
    },
    /// Too many addresses.
    #[error("{count} addresses of cores: at most {max}")]
    TooManyAddresses {
        /// How many were given.
        count: usize,
        /// How many may be.
        max: usize,
    },
    /// The service cannot have this name.
    #[error("`{name}` cannot name a service: {problem}")]
    Name {
        /// The given name.
        name: String,
        /// The broken rule.
        #[source]
        problem: ServiceNameError,
    },
    /// The instance's name is none.
    #[error("`{id}` is not an instance id: use 1 to 64 of the characters 0x21-0x7E")]
    InstanceId {
        /// What was given.
        id: String,
    },
    /// A core answers, but does not let this instance register.
    #[error("a core refused the registration: {reason}")]
    Refused {
        /// The status of the call.
        reason: String,
    },
}

/// Why a message was not sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// The message holds a byte that does not travel.
    #[error("byte {byte:#04x} at {position}: a message is bytes 0x20-0x7E")]
    Byte {
        /// The byte.
        byte: u8,
        /// Where it is.
        position: usize,
    },
    /// The message is too long.
    #[error("a message of {length} bytes: the longest is {max}")]
    Length {
        /// Its length.
        length: usize,
        /// The longest that the core takes.
        max: usize,
    },
    /// The stream is over for this instance: it ended, was reset, or goes on elsewhere.
    #[error("the stream is over")]
    Over,
}

/// Why a message was not sent at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TrySendError {
    /// The stream holds as much for its client as it may. Nothing was sent.
    #[error("the stream's outbox is full")]
    Full,
    /// It can never be sent.
    #[error(transparent)]
    Refused(#[from] SendError),
}

/// Why a stream was not reset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a reason is at most {max} bytes 0x20-0x7E", max = minerva_proto::MAX_REASON)]
pub struct ReasonError;

/// Why a stream got no label.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a label is at most 256 bytes 0x20-0x7E")]
pub struct LabelError;

/// Why a stream was not put into a group, or taken out of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GroupError {
    /// It has no such name.
    #[error("the name of a group is 1 to 128 bytes 0x21-0x7E")]
    Name,
    /// The stream is in as many groups as it may be in.
    #[error("a stream is in at most 64 groups")]
    TooMany,
}

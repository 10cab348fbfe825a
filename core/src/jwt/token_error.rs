//! The reasons to refuse a token, as the client reads them in the reset of its stream.

use crate::stream::TOKEN_EXPIRED;

/// A token is refused. The text is the reason for the client; it has no content of the token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub(crate) enum TokenError {
    #[error("token required")]
    Missing,
    #[error("token refused: malformed")]
    Malformed,
    #[error("token refused: algorithm")]
    Algorithm,
    #[error("token refused: unknown issuer")]
    UnknownIssuer,
    #[error("token refused: unknown key")]
    UnknownKey,
    #[error("token refused: signature")]
    Signature,
    #[error("{TOKEN_EXPIRED}")]
    Expired,
    #[error("token refused: not valid yet")]
    NotYetValid,
    #[error("token refused: audience")]
    Audience,
    #[error("token refused: no subject")]
    NoSubject,
    #[error("token refused: the subject is no label")]
    NoLabel,
    #[error("token refused: too many claims")]
    TooLarge,
}

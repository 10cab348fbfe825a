//! The verified identity of a client: the content of its token (RFC 7519).
//!
//! The core makes the value from a verified token; records and the application API carry it.

/// Longest texts of an [`Identity`] together, in bytes.
pub const MAX_IDENTITY: usize = 8 * 1024;

/// Content of a verified token.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// Configured issuer of the token (`iss`).
    pub issuer: String,
    /// The subject (`sub`), for example a user; not empty.
    pub subject: String,
    /// Audience of the token (`aud`).
    pub audience: Vec<String>,
    /// Identity of the token (`jti`); empty if absent.
    pub token_id: String,
    /// Time of the issue in seconds since 1970 (`iat`); 0 if absent.
    pub issued_at: u64,
    /// End of the token in seconds since 1970 (`exp`).
    pub expires_at: u64,
    /// Chosen claims: name, and value as JSON text; in the configured order.
    pub claims: Vec<(String, String)>,
}

impl Identity {
    /// Bytes of the texts.
    pub fn size(&self) -> usize {
        let claims = self.claims.iter().map(|(name, value)| name.len() + value.len());
        let audience = self.audience.iter().map(String::len);
        self.issuer.len()
            + self.subject.len()
            + self.token_id.len()
            + audience.chain(claims).sum::<usize>()
    }

    /// Whether both are identities of one subject.
    pub fn is_same_subject(&self, other: &Self) -> bool {
        self.issuer == other.issuer && self.subject == other.subject
    }
}

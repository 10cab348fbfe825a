//! Conversions of verified identities between the contract and [`Identity`].

use super::{Claim, Identity as Message};
use crate::Identity;

impl From<&Identity> for Message {
    fn from(identity: &Identity) -> Self {
        let claim =
            |(name, value): &(String, String)| Claim { name: name.clone(), value: value.clone() };
        Self {
            issuer: identity.issuer.clone(),
            subject: identity.subject.clone(),
            audience: identity.audience.clone(),
            token_id: identity.token_id.clone(),
            issued_at: identity.issued_at,
            expires_at: identity.expires_at,
            claims: identity.claims.iter().map(claim).collect(),
        }
    }
}

impl From<Message> for Identity {
    fn from(message: Message) -> Self {
        Self {
            issuer: message.issuer,
            subject: message.subject,
            audience: message.audience,
            token_id: message.token_id,
            issued_at: message.issued_at,
            expires_at: message.expires_at,
            claims: message.claims.into_iter().map(|claim| (claim.name, claim.value)).collect(),
        }
    }
}

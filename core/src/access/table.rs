//! The tokens that a core accepts at one time. Pure; replaced as a whole after a change.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::rights::Scope;
use super::token::{TokenRecord, parse};

/// Tokens by id.
#[derive(Debug, Default)]
pub(crate) struct TokenTable {
    by_id: HashMap<String, Arc<TokenRecord>>,
    /// Services with a token that permits to serve.
    guarded: HashSet<Arc<str>>,
    /// Whether a token permits to serve every service.
    all_guarded: bool,
}

/// The cause of a refused token. The text names no part of the token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum InvalidTokenError {
    /// The token is malformed, unknown or revoked, or the secret is wrong.
    #[error("the token is unknown or revoked")]
    Unknown,
    /// The time of the token is over.
    #[error("the token has expired")]
    Expired,
}

impl TokenTable {
    pub(crate) fn new(records: impl IntoIterator<Item = Arc<TokenRecord>>) -> Self {
        let mut table = Self::default();
        for record in records {
            match record.served() {
                Some(Scope::All) => table.all_guarded = true,
                Some(Scope::One(service)) => {
                    table.guarded.insert(Arc::clone(service));
                }
                None => {}
            }
            table.by_id.insert(record.id.clone(), record);
        }
        table
    }

    /// The record of a presented token.
    pub(crate) fn authenticate(
        &self,
        token: &str,
        now_seconds: u64,
    ) -> Result<Arc<TokenRecord>, InvalidTokenError> {
        let (id, secret) = parse(token).ok_or(InvalidTokenError::Unknown)?;
        let record = self.by_id.get(id).ok_or(InvalidTokenError::Unknown)?;
        if record.is_revoked || !record.is_secret(&secret) {
            return Err(InvalidTokenError::Unknown);
        }
        self.check(record, now_seconds)?;
        Ok(Arc::clone(record))
    }

    /// Checks a token that was accepted before.
    pub(crate) fn check(
        &self,
        record: &Arc<TokenRecord>,
        now_seconds: u64,
    ) -> Result<(), InvalidTokenError> {
        match self.by_id.get(&record.id) {
            Some(known)
                if known == record && !known.is_revoked && known.has_expired(now_seconds) =>
            {
                Err(InvalidTokenError::Expired)
            }
            Some(known) if known == record && !known.is_revoked => Ok(()),
            Some(_) | None => Err(InvalidTokenError::Unknown),
        }
    }

    /// Whether only holders of a token serve this service. An expired or revoked token guards its service, too.
    pub(crate) fn is_guarded(&self, service: &str) -> bool {
        self.all_guarded || self.guarded.contains(service)
    }
}

#[cfg(test)]
mod tests {
    use super::super::rights::Right;
    use super::*;

    fn created(scope: Scope, right: Right, expires: Option<u64>) -> (Arc<TokenRecord>, String) {
        let rights = [right].into_iter().collect();
        let (record, token) = TokenRecord::create(scope, rights, 1, expires).unwrap();
        (record.shared(), token)
    }

    fn chat() -> Scope {
        Scope::One("chat".into())
    }

    #[test]
    fn only_known_tokens_with_the_right_secret_are_accepted_until_they_expire() {
        let (record, token) = created(chat(), Right::Send, Some(100));
        let (other, other_token) = created(chat(), Right::Send, None);
        let table = TokenTable::new([Arc::clone(&record)]);
        assert_eq!(table.authenticate(&token, 99), Ok(Arc::clone(&record)));
        assert_eq!(table.authenticate(&token, 100), Err(InvalidTokenError::Expired));
        // The id of one token with the secret of another.
        let forged = format!("{}_{}", &token[..16], other_token.rsplit_once('_').unwrap().1);
        for wrong in [&*other_token, &forged, "", "Bearer"] {
            assert_eq!(table.authenticate(wrong, 1), Err(InvalidTokenError::Unknown), "{wrong}");
        }
        assert_eq!(table.check(&other, 1), Err(InvalidTokenError::Unknown), "revoked");
        assert_eq!(table.check(&record, 100), Err(InvalidTokenError::Expired));
        assert_eq!(table.check(&record, 1), Ok(()));
    }

    #[test]
    fn a_service_is_guarded_by_tokens_that_serve() {
        let (serve, _) = created(chat(), Right::Serve, Some(1));
        let (send, _) = created(Scope::One("news".into()), Right::Send, None);
        let (all, _) = created(Scope::All, Right::Serve, None);
        let table = TokenTable::new([Arc::clone(&serve), send]);
        assert!(table.is_guarded("chat") && !table.is_guarded("news"));
        assert!(TokenTable::new([serve, all]).is_guarded("news"));
        assert!(!TokenTable::default().is_guarded("chat"));
    }

    #[test]
    fn a_revoked_token_is_unknown_and_guards_its_service() {
        let (record, token) = created(chat(), Right::Serve, None);
        let guard = Arc::unwrap_or_clone(Arc::clone(&record)).into_guard().shared();
        let table = TokenTable::new([Arc::clone(&guard)]);
        assert!(table.is_guarded("chat") && !table.is_guarded("news"));
        assert_eq!(table.authenticate(&token, 1), Err(InvalidTokenError::Unknown));
        for known in [&record, &guard] {
            assert_eq!(table.check(known, 1), Err(InvalidTokenError::Unknown), "calls end");
        }
    }
}

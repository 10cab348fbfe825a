//! The decision whether a caller may make a call. Pure; the only place with the rules of access.

use std::sync::Arc;

use http::Extensions;
use minerva_runtime::tls::PeerRole;

use super::rights::{Right, Scope};
use super::table::InvalidTokenError;
use super::token::TokenRecord;

/// Origin of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    /// A part of this process.
    InProcess,
    /// A loopback address of this machine.
    Loopback,
    /// Any other address.
    Remote,
}

/// The caller of a request: its origin and the credential.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    pub(crate) origin: Origin,
    pub(crate) credential: Option<Credential>,
}

impl Caller {
    /// The identified caller of a request; a remote one without a credential if the request was not identified.
    pub(crate) fn of(extensions: &Extensions) -> Self {
        let unknown = || Self { origin: Origin::Remote, credential: None };
        extensions.get::<Self>().cloned().unwrap_or_else(unknown)
    }
}

/// A checked credential.
#[derive(Debug, Clone)]
pub(crate) enum Credential {
    Token(Arc<TokenRecord>),
    /// The role of a verified client certificate.
    Certificate(PeerRole),
}

/// Which callers need no credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Anonymous {
    /// None: `--require-tokens`.
    Nobody,
    /// Callers on the same machine: the default.
    Loopback,
    /// Everyone: `--insecure`.
    Everyone,
}

/// A refused call. The text names the missing right and the remedy, and no secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum AccessError {
    /// The caller has no credential.
    #[error(
        "a token is needed: send `authorization: Bearer TOKEN`; `minerva-core token create` makes a token{}",
        options(.0.0, .0.1.as_deref())
    )]
    NoCredential((Option<Right>, Option<String>)),
    /// The service is served by holders of its tokens only.
    #[error(
        "service `{0}` has tokens, so only a holder may serve it: send `authorization: Bearer TOKEN`; `minerva-core token \
         create` makes a token (--service {0} --can serve)"
    )]
    Guarded(String),
    /// The token is invalid.
    #[error(
        "{0}: `minerva-core token list` shows the valid tokens, `minerva-core token create` makes a new one"
    )]
    InvalidToken(#[from] InvalidTokenError),
    /// The metadata `authorization` has another form.
    #[error("the metadata `authorization` is not of the form `Bearer TOKEN`")]
    Malformed,
    /// The credential does not permit the call.
    #[error("{holder} does not permit this call; `minerva-core token create` makes a token{}",
        options(Some(*.right), .service.as_deref()))]
    Forbidden {
        /// Name of the credential.
        holder: String,
        right: Right,
        service: Option<String>,
    },
}

/// The options of `token create` that permit a call.
fn options(right: Option<Right>, service: Option<&str>) -> String {
    let Some(right) = right else { return String::new() };
    match service {
        _ if !right.is_of_service() => format!(" (--can {})", right.name()),
        Some(service) => format!(" (--service {service} --can {})", right.name()),
        None => format!(" (--service NAME --can {})", right.name()),
    }
}

impl AccessError {
    /// Whether the caller has no valid credential.
    pub(crate) fn is_unauthenticated(&self) -> bool {
        !matches!(self, Self::Forbidden { .. })
    }

    /// Machine-readable reason, also the label of the metric.
    pub(crate) fn reason(&self) -> &'static str {
        match self {
            Self::NoCredential(_) | Self::Guarded(_) => "TOKEN_MISSING",
            Self::InvalidToken(InvalidTokenError::Unknown) | Self::Malformed => "TOKEN_INVALID",
            Self::InvalidToken(InvalidTokenError::Expired) => "TOKEN_EXPIRED",
            Self::Forbidden { .. } => "NOT_PERMITTED",
        }
    }
}

impl Anonymous {
    /// Whether a caller of this origin needs no credential.
    pub(crate) fn includes(self, origin: Origin) -> bool {
        match origin {
            Origin::InProcess => true,
            Origin::Loopback => self != Self::Nobody,
            Origin::Remote => self == Self::Everyone,
        }
    }
}

impl Credential {
    fn permits(&self, right: Right, service: Option<&str>) -> bool {
        match self {
            Self::Token(record) => record.permits(right, service),
            Self::Certificate(PeerRole::Edge) => right == Right::Edge,
            Self::Certificate(PeerRole::App(own)) => {
                right.is_of_service() && service.is_none_or(|service| service == own)
            }
            Self::Certificate(PeerRole::Core | PeerRole::Operator) => right != Right::Edge,
        }
    }

    /// The services for which the credential has a right.
    fn scope(&self) -> Scope {
        match self {
            Self::Token(record) => record.scope.clone(),
            Self::Certificate(PeerRole::App(service)) => Scope::One(service.as_str().into()),
            Self::Certificate(_) => Scope::All,
        }
    }

    fn name(&self) -> String {
        match self {
            Self::Token(record) => format!("token {}", record.id),
            Self::Certificate(role) => format!("a certificate with the role {role}"),
        }
    }
}

/// Decides about a call that needs `right`, for `service` if the call concerns one. `is_guarded`: the service has a token
/// that permits to serve it.
pub(crate) fn decide(
    caller: &Caller,
    right: Right,
    service: Option<&str>,
    is_guarded: bool,
    anonymous: Anonymous,
) -> Result<(), AccessError> {
    let named = || service.map(str::to_owned);
    match &caller.credential {
        Some(credential) if credential.permits(right, service) => Ok(()),
        Some(credential) => {
            Err(AccessError::Forbidden { holder: credential.name(), right, service: named() })
        }
        None if caller.origin == Origin::InProcess => Ok(()),
        None if right == Right::Serve && is_guarded => {
            Err(AccessError::Guarded(named().unwrap_or_default()))
        }
        None if anonymous.includes(caller.origin) => Ok(()),
        None => Err(AccessError::NoCredential((Some(right), named()))),
    }
}

/// The services whose streams a caller may address by number.
pub(crate) fn scope(
    caller: &Caller,
    right: Right,
    anonymous: Anonymous,
) -> Result<Scope, AccessError> {
    decide(caller, right, None, false, anonymous)?;
    Ok(caller.credential.as_ref().map_or(Scope::All, Credential::scope))
}

/// Decides about a call that needs no right, such as reflection: any valid credential suffices.
pub(crate) fn decide_any(caller: &Caller, anonymous: Anonymous) -> Result<(), AccessError> {
    match caller.credential.is_some() || anonymous.includes(caller.origin) {
        true => Ok(()),
        false => Err(AccessError::NoCredential((None, None))),
    }
}

#[cfg(test)]
mod tests {
    use super::super::rights::Rights;
    use super::*;

    #[test]
    fn a_certificate_permits_the_calls_of_its_role() {
        let app = PeerRole::App("chat".to_owned());
        for (role, permitted) in [
            (PeerRole::Edge, &[Right::Edge][..]),
            (app.clone(), &[Right::Serve, Right::Send, Right::Read, Right::Reset]),
            (
                PeerRole::Core,
                &[Right::Serve, Right::Send, Right::Read, Right::Reset, Right::Metrics],
            ),
            (
                PeerRole::Operator,
                &[Right::Serve, Right::Send, Right::Read, Right::Reset, Right::Metrics],
            ),
        ] {
            let credential = Some(Credential::Certificate(role.clone()));
            let caller = Caller { origin: Origin::Loopback, credential };
            for right in ALL_RIGHTS {
                let service = right.is_of_service().then_some("chat");
                let decided = decide(&caller, right, service, true, Anonymous::Everyone);
                assert_eq!(decided.is_ok(), permitted.contains(&right), "{role} {right:?}");
            }
        }
        let credential = Some(Credential::Certificate(app));
        let caller = Caller { origin: Origin::Loopback, credential };
        let foreign = decide(&caller, Right::Serve, Some("shop"), false, Anonymous::Everyone);
        assert!(!foreign.unwrap_err().is_unauthenticated());
        assert_eq!(scope(&caller, Right::Read, Anonymous::Nobody), Ok(Scope::One("chat".into())));
    }

    const ALL_RIGHTS: [Right; 6] =
        [Right::Serve, Right::Send, Right::Read, Right::Reset, Right::Edge, Right::Metrics];
    const POLICIES: [Anonymous; 3] = [Anonymous::Nobody, Anonymous::Loopback, Anonymous::Everyone];

    fn anonymous(origin: Origin) -> Caller {
        Caller { origin, credential: None }
    }

    fn holder(origin: Origin, scope: Scope, rights: Rights) -> Caller {
        let (record, _) = TokenRecord::create(scope, rights, 0, None).unwrap();
        Caller { origin, credential: Some(Credential::Token(record.shared())) }
    }

    #[test]
    fn without_a_credential_the_origin_decides() {
        use Origin::{InProcess, Loopback, Remote};
        for right in ALL_RIGHTS {
            for (origin, policy, allowed) in [
                (InProcess, Anonymous::Nobody, true),
                (InProcess, Anonymous::Loopback, true),
                (InProcess, Anonymous::Everyone, true),
                (Loopback, Anonymous::Nobody, false),
                (Loopback, Anonymous::Loopback, true),
                (Loopback, Anonymous::Everyone, true),
                (Remote, Anonymous::Nobody, false),
                (Remote, Anonymous::Loopback, false),
                (Remote, Anonymous::Everyone, true),
            ] {
                let decided = decide(&anonymous(origin), right, Some("chat"), false, policy);
                assert_eq!(decided.is_ok(), allowed, "{right:?} {origin:?} {policy:?}");
                assert_eq!(decide_any(&anonymous(origin), policy).is_ok(), allowed);
                assert_eq!(scope(&anonymous(origin), right, policy).is_ok(), allowed);
                let missing = decided.err().map(|error| error.is_unauthenticated());
                assert_eq!(missing, (!allowed).then_some(true));
            }
        }
    }

    #[test]
    fn a_guarded_service_is_served_by_holders_only() {
        for policy in POLICIES {
            for origin in [Origin::Loopback, Origin::Remote] {
                let caller = anonymous(origin);
                let decided = decide(&caller, Right::Serve, Some("chat"), true, policy);
                assert_eq!(decided, Err(AccessError::Guarded("chat".to_owned())));
            }
            let own =
                decide(&anonymous(Origin::InProcess), Right::Serve, Some("chat"), true, policy);
            assert_eq!(own, Ok(()));
            let rights = [Right::Serve].into_iter().collect();
            let caller = holder(Origin::Remote, Scope::One("chat".into()), rights);
            assert_eq!(decide(&caller, Right::Serve, Some("chat"), true, policy), Ok(()));
        }
        let send =
            decide(&anonymous(Origin::Loopback), Right::Send, None, true, Anonymous::Loopback);
        assert_eq!(send, Ok(()));
    }

    /// Every set of rights, right, scope, service, origin and policy.
    #[test]
    fn a_token_permits_its_rights_for_its_service_from_everywhere() {
        for set in 0..64u8 {
            let rights: Rights =
                ALL_RIGHTS.into_iter().filter(|right| set & 1 << *right as u8 != 0).collect();
            for own in [Scope::All, Scope::One("chat".into())] {
                for origin in [Origin::InProcess, Origin::Loopback, Origin::Remote] {
                    check_holder(&holder(origin, own.clone(), rights), &own, rights);
                }
            }
        }
    }

    fn check_holder(caller: &Caller, own: &Scope, rights: Rights) {
        for policy in POLICIES {
            assert_eq!(decide_any(caller, policy), Ok(()));
            for right in ALL_RIGHTS {
                let services = rights.has(right).then(|| own.clone());
                assert_eq!(scope(caller, right, policy).ok(), services);
                for service in [None, Some("chat"), Some("news")] {
                    let allowed =
                        rights.has(right) && (*own == Scope::All || service != Some("news"));
                    let decided = decide(caller, right, service, false, policy);
                    assert_eq!(decided.is_ok(), allowed, "{rights} {own} {right:?}");
                }
            }
        }
    }

    #[test]
    fn a_refusal_names_the_remedy() {
        let caller = anonymous(Origin::Remote);
        let refused = |right, service| {
            decide(&caller, right, service, false, Anonymous::Loopback).unwrap_err().to_string()
        };
        assert!(refused(Right::Serve, Some("chat")).ends_with("(--service chat --can serve)"));
        assert!(refused(Right::Send, None).ends_with("(--service NAME --can send)"));
        assert!(refused(Right::Edge, None).ends_with("(--can edge)"));
        let caller = holder(Origin::Remote, Scope::One("chat".into()), Rights::default());
        let error = decide(&caller, Right::Read, Some("news"), false, Anonymous::Everyone);
        let error = error.unwrap_err();
        assert!(!error.is_unauthenticated() && error.reason() == "NOT_PERMITTED");
        let text = error.to_string();
        assert!(text.starts_with("token ") && text.ends_with("(--service news --can read)"));
    }
}

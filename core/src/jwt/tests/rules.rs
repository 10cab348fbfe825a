//! The rules of one issuer: signature, key, algorithm, times, audience and claims.

use serde_json::{Value, json};

use super::signer::{Signer, encoded};
use crate::jwt::keys::{KeySet, KeySetError};
use crate::jwt::provider;
use crate::jwt::token_error::TokenError;
use crate::jwt::verifier::{Named, Rules, verify};
use minerva_proto::Identity;

const NOW: u64 = 1_800_000_000;
const LEEWAY: u64 = 30;

fn rules() -> Rules {
    Rules {
        issuer: "https://id.example".to_owned(),
        audience: vec!["chat".to_owned(), "board".to_owned()],
        claims: vec!["role".to_owned(), "absent".to_owned(), "team".to_owned()],
        leeway: LEEWAY,
        labels: false,
    }
}

fn claims() -> Value {
    json!({
        "iss": "https://id.example", "aud": "chat", "sub": "ann", "exp": NOW + 600, "iat": NOW - 5,
        "jti": "t1", "role": "admin", "team": {"id": 7}, "other": "secret",
    })
}

/// The claims with one value replaced; `null` removes the claim.
fn with(name: &str, value: Value) -> Value {
    let mut claims = claims();
    let map = claims.as_object_mut().unwrap();
    if value.is_null() {
        map.remove(name)
    } else {
        map.insert(name.to_owned(), value)
    };
    claims
}

fn key_set(signers: &[(&str, &Signer)]) -> KeySet {
    let keys: Vec<Value> = signers.iter().map(|(kid, signer)| signer.jwk(kid)).collect();
    KeySet::parse(json!({"keys": keys}).to_string().as_bytes()).unwrap()
}

fn check_with(token: &str, rules: &Rules, keys: &KeySet, now: u64) -> Result<Identity, TokenError> {
    provider::install();
    verify(token, &Named::parse(token)?, rules, keys, now)
}

fn check(token: &str, keys: &KeySet) -> Result<Identity, TokenError> {
    check_with(token, &rules(), keys, NOW)
}

#[test]
fn each_algorithm_verifies_and_the_identity_has_the_chosen_claims() {
    for signer in [Signer::rs256(), Signer::es256(), Signer::eddsa()] {
        let keys = key_set(&[("k1", &signer)]);
        let expected = Identity {
            issuer: "https://id.example".to_owned(),
            subject: "ann".to_owned(),
            audience: vec!["chat".to_owned()],
            token_id: "t1".to_owned(),
            issued_at: NOW - 5,
            expires_at: NOW + 600,
            claims: vec![
                ("role".to_owned(), "\"admin\"".to_owned()),
                ("team".to_owned(), "{\"id\":7}".to_owned()),
            ],
        };
        let algorithm = signer.algorithm();
        assert_eq!(check(&signer.token("k1", &claims()), &keys), Ok(expected), "{algorithm}");
        let mut forged = signer.token("k1", &with("sub", json!("eve")));
        forged.replace_range(forged.rfind('.').unwrap().., "");
        let signature = signer.token("k1", &claims());
        forged.push_str(&signature[signature.rfind('.').unwrap()..]);
        assert_eq!(check(&forged, &keys), Err(TokenError::Signature), "{algorithm}");
    }
}

#[test]
fn the_secret_of_hs256_verifies() {
    let secret = b"0123456789abcdef0123456789abcdef".to_vec();
    let keys = KeySet::of_secret(&[&secret[..], b"\n"].concat()).unwrap();
    let signer = Signer::Hs256(secret.clone());
    for kid in ["", "any"] {
        assert!(check(&signer.token(kid, &claims()), &keys).is_ok());
    }
    let other = Signer::Hs256(vec![7; 32]);
    assert_eq!(check(&other.token("", &claims()), &keys), Err(TokenError::Signature));
    let short = KeySet::of_secret(&secret[..31]);
    assert_eq!(short.unwrap_err(), KeySetError::ShortSecret);
}

/// The algorithm is that of the key: `none`, and the public key as a secret of HS256.
#[test]
fn a_token_cannot_choose_its_algorithm() {
    let (rsa, ec) = (Signer::rs256(), Signer::es256());
    let keys = key_set(&[("rsa", &rsa), ("ec", &ec)]);
    let jwk = rsa.jwk("rsa");
    let n = jwk["n"].as_str().unwrap();
    for secret in [n.as_bytes().to_vec(), jwk.to_string().into_bytes()] {
        let token = Signer::Hs256(secret).token("rsa", &claims());
        assert_eq!(check(&token, &keys), Err(TokenError::Algorithm));
    }
    for algorithm in ["none", "None", "NONE", "RS1", ""] {
        let header = json!({"alg": algorithm, "kid": "rsa"});
        let token = rsa.with_header(&header, &claims());
        assert_eq!(check(&token, &keys), Err(TokenError::Algorithm), "{algorithm}");
        let unsigned = format!("{}.", &token[..token.rfind('.').unwrap()]);
        assert_eq!(check(&unsigned, &keys), Err(TokenError::Algorithm), "{algorithm}");
    }
    for algorithm in ["RS384", "PS256", "ES256", "EdDSA", "HS512"] {
        let token = rsa.with_header(&json!({"alg": algorithm, "kid": "rsa"}), &claims());
        assert_eq!(check(&token, &keys), Err(TokenError::Algorithm), "{algorithm}");
    }
    assert_eq!(check(&ec.token("rsa", &claims()), &keys), Err(TokenError::Algorithm));
}

#[test]
fn times_are_checked_with_the_leeway() {
    let signer = Signer::eddsa();
    let keys = key_set(&[("k1", &signer)]);
    for (name, value, expected) in [
        ("exp", json!(NOW - LEEWAY), Err(TokenError::Expired)),
        ("exp", json!(NOW - LEEWAY + 1), Ok(())),
        ("exp", json!(NOW as f64 + 0.5), Ok(())),
        ("exp", json!(null), Err(TokenError::Malformed)),
        ("exp", json!("2000000000"), Err(TokenError::Malformed)),
        ("exp", json!(-1), Err(TokenError::Malformed)),
        ("exp", json!(1e300), Err(TokenError::Malformed)),
        ("nbf", json!(NOW + LEEWAY), Ok(())),
        ("nbf", json!(NOW + LEEWAY + 1), Err(TokenError::NotYetValid)),
        ("nbf", json!("0"), Err(TokenError::Malformed)),
        ("iat", json!(NOW + LEEWAY + 1), Err(TokenError::NotYetValid)),
    ] {
        let token = signer.token("k1", &with(name, value.clone()));
        assert_eq!(check(&token, &keys).map(|_| ()), expected, "{name} {value}");
    }
}

#[test]
fn issuer_audience_and_subject_are_checked() {
    let signer = Signer::eddsa();
    let keys = key_set(&[("k1", &signer)]);
    for (name, value, expected) in [
        ("iss", json!("https://id.example/"), Err(TokenError::UnknownIssuer)),
        ("iss", json!(null), Err(TokenError::UnknownIssuer)),
        ("aud", json!("other"), Err(TokenError::Audience)),
        ("aud", json!(["other", "board"]), Ok(())),
        ("aud", json!([7]), Err(TokenError::Audience)),
        ("aud", json!([]), Err(TokenError::Audience)),
        ("aud", json!(null), Err(TokenError::Audience)),
        ("sub", json!(null), Err(TokenError::NoSubject)),
        ("sub", json!(""), Err(TokenError::NoSubject)),
        ("sub", json!(7), Err(TokenError::Malformed)),
        ("sub", json!("\u{e9}"), Ok(())),
        ("jti", json!(7), Err(TokenError::Malformed)),
    ] {
        let token = signer.token("k1", &with(name, value.clone()));
        assert_eq!(check(&token, &keys).map(|_| ()), expected, "{name} {value}");
    }
    let labelled = Rules { labels: true, ..rules() };
    let token = signer.token("k1", &with("sub", json!("\u{e9}")));
    assert_eq!(check_with(&token, &labelled, &keys, NOW), Err(TokenError::NoLabel));
}

#[test]
fn the_key_is_that_of_the_name() {
    let (one, two) = (Signer::eddsa(), Signer::eddsa());
    let keys = key_set(&[("k1", &one), ("k2", &two)]);
    assert!(check(&two.token("k2", &claims()), &keys).is_ok());
    assert_eq!(check(&two.token("k1", &claims()), &keys), Err(TokenError::Signature));
    assert_eq!(check(&two.token("k3", &claims()), &keys), Err(TokenError::UnknownKey));
    let unnamed = one.with_header(&json!({"alg": "EdDSA"}), &claims());
    assert_eq!(check(&unnamed, &keys), Err(TokenError::UnknownKey));
    assert!(check(&unnamed, &key_set(&[("k1", &one)])).is_ok(), "a set of one key");
    // Keys and addresses in the header have no effect.
    let header = json!({"alg": "EdDSA", "kid": "k1", "jwk": two.jwk("k1"), "jku": "https://evil"});
    assert_eq!(check(&two.with_header(&header, &claims()), &keys), Err(TokenError::Signature));
    let critical = json!({"alg": "EdDSA", "kid": "k1", "crit": ["exp"]});
    assert_eq!(check(&one.with_header(&critical, &claims()), &keys), Err(TokenError::Malformed));
}

#[test]
fn malformed_and_long_tokens_are_refused() {
    let signer = Signer::eddsa();
    let keys = key_set(&[("k1", &signer)]);
    assert_eq!(check("", &keys), Err(TokenError::Missing));
    let no_claims =
        format!("{}.{}.{}", encoded("{\"alg\":\"EdDSA\"}"), encoded("[]"), encoded("x"));
    for token in ["x", "..", "a.b", "a.b.c.d", "\u{e9}.b.c", "e30.e30.e30", &no_claims] {
        let refused = check(token, &keys).unwrap_err();
        assert!(
            matches!(refused, TokenError::Malformed | TokenError::Algorithm),
            "{token}: {refused}"
        );
    }
    let long = signer.token("k1", &with("role", json!("x".repeat(8 << 10))));
    assert_eq!(check(&long, &keys), Err(TokenError::Malformed));
}

#[test]
fn a_key_set_needs_usable_keys() {
    let parse = |json: Value| KeySet::parse(json.to_string().as_bytes());
    let signer = Signer::eddsa();
    let mut encrypts = signer.jwk("k1");
    encrypts["use"] = json!("enc");
    let mut other = signer.jwk("k1");
    other["alg"] = json!("ES256");
    let secret = json!({"kty": "oct", "kid": "k1", "k": encoded([7; 32])});
    for key in [encrypts, other, secret, json!({"kty": "new"}), json!({})] {
        assert_eq!(parse(json!({"keys": [key]})).unwrap_err(), KeySetError::NoKey, "{key}");
        assert!(parse(json!({"keys": [key, signer.jwk("k2")]})).is_ok(), "{key}");
    }
    let many: Vec<_> = (0..101).map(|_| signer.jwk("k")).collect();
    assert_eq!(parse(json!({"keys": many})).unwrap_err(), KeySetError::TooMany);
    assert!(matches!(parse(json!([])), Err(KeySetError::Json(_))));
}

//! The keys of an issuer: read at the start, renewed for an unknown key, kept after a failure.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use clap::Parser;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::time::sleep;

use super::signer::Signer;
use crate::clock;
use crate::jwt::token_error::TokenError;
use crate::jwt::{Authenticator, Denial, JwtOptions};
use crate::limits::Limits;

const NOW: u64 = 1_800_000_000;

#[derive(clap::Parser)]
struct Program {
    #[command(flatten)]
    jwt: JwtOptions,
}

fn parse(arguments: &[&str]) -> Result<Authenticator, String> {
    let options = Program::try_parse_from([&["core"], arguments].concat()).unwrap().jwt;
    Authenticator::new(&options, &Limits::default()).map_err(|error| error.to_string())
}

fn one_issuer(keys: &str) -> Authenticator {
    parse(&["--jwt-jwks", keys, "--jwt-issuer", "iss", "--jwt-audience", "a,b"]).unwrap()
}

fn token(signer: &Signer, kid: &str) -> String {
    let claims = json!({"iss": "iss", "aud": "b", "sub": "ann", "exp": NOW + 60});
    signer.token(kid, &claims)
}

fn now() -> (Instant, u64) {
    (clock::now().into_std(), NOW)
}

fn write(file: &Path, signers: &[(&str, &Signer)]) {
    let keys: Vec<_> = signers.iter().map(|(kid, signer)| signer.jwk(kid)).collect();
    fs::write(file, json!({"keys": keys}).to_string()).unwrap();
}

fn path(file: &Path) -> &str {
    file.to_str().unwrap()
}

/// Repeats the hello as a client does, for at most 30 s.
async fn verified(authenticator: &Authenticator, token: &str) -> Result<String, Denial> {
    for _ in 0..3000 {
        match authenticator.verify(token, "chat", now()) {
            Err(Denial::Retry) => sleep(Duration::from_millis(10)).await,
            verified => return verified.map(|identity| identity.subject),
        }
    }
    Err(Denial::Retry)
}

#[tokio::test]
async fn rotated_keys_are_read_for_a_token_with_a_new_key() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("keys.json");
    let (old, new) = (Signer::eddsa(), Signer::es256());
    write(&file, &[("old", &old)]);
    let authenticator = one_issuer(path(&file));
    write(&file, &[("old", &old), ("new", &new)]);
    let new_token = token(&new, "new");
    assert_eq!(authenticator.verify(&new_token, "chat", now()), Err(Denial::Retry));
    tokio::select! {
        () = authenticator.run() => {}
        verified = verified(&authenticator, &new_token) => {
            assert_eq!(verified, Ok("ann".to_owned()));
        }
    }
    // The next unknown key within 10 s causes no reading.
    let unknown = token(&new, "unknown");
    let refused = Err(Denial::Refused(TokenError::UnknownKey));
    assert_eq!(authenticator.verify(&unknown, "chat", now()), refused);
    let later = (now().0 + Duration::from_secs(11), NOW);
    assert_eq!(authenticator.verify(&unknown, "chat", later), Err(Denial::Retry));
    // A damaged file keeps the present keys.
    fs::write(&file, "{").unwrap();
    tokio::select! {
        () = authenticator.run() => {}
        refused = verified(&authenticator, &unknown) => {
            assert_eq!(refused, Err(Denial::Refused(TokenError::UnknownKey)));
        }
    }
    assert!(authenticator.verify(&token(&new, "new"), "chat", now()).is_ok());
}

/// Serves one JWK set; counts the requests by their number.
async fn serve(listener: TcpListener, bodies: Vec<String>) {
    for body in bodies {
        let (mut socket, _) = listener.accept().await.unwrap();
        let mut request = vec![0; 4096];
        let length = socket.read(&mut request).await.unwrap();
        assert!(request[..length].starts_with(b"GET /keys?v=1 HTTP/1.1\r\n"));
        socket.write_all(body.as_bytes()).await.unwrap();
    }
    std::future::pending().await
}

#[tokio::test]
async fn keys_are_read_from_an_address_and_no_redirect_is_followed() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/keys?v=1", listener.local_addr().unwrap());
    let signer = Signer::eddsa();
    let keys = json!({"keys": [signer.jwk("k1")]}).to_string();
    let good = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{keys}", keys.len());
    let redirect = "HTTP/1.1 302 Found\r\nlocation: /other\r\ncontent-length: 0\r\n\r\n".to_owned();
    let authenticator = one_issuer(&url);
    let known = token(&signer, "k1");
    assert_eq!(authenticator.verify(&known, "chat", now()), Err(Denial::Retry), "no keys yet");
    tokio::select! {
        () = authenticator.run() => {}
        () = serve(listener, vec![redirect, good]) => {}
        verified = verified(&authenticator, &known) => assert_eq!(verified, Ok("ann".to_owned())),
    }
}

#[test]
fn services_need_the_token_of_an_issuer_for_them() {
    let directory = tempfile::tempdir().unwrap();
    let (one, two) = (Signer::eddsa(), Signer::eddsa());
    for (name, signer) in [("one.json", &one), ("two.json", &two)] {
        write(&directory.path().join(name), &[("k1", signer)]);
    }
    let place = |name: &str| path(&directory.path().join(name)).to_owned();
    let issuers = json!([
        {"issuer": "iss", "audience": ["b"], "jwks": place("one.json"), "services": ["chat"]},
        {"issuer": "iss2", "audience": ["b"], "jwks": place("two.json"), "services": ["board"]},
    ]);
    fs::write(directory.path().join("issuers.json"), issuers.to_string()).unwrap();
    let authenticator = parse(&["--jwt-issuers", &place("issuers.json")]).unwrap();
    for (service, is_required) in [("chat", true), ("board", true), ("open", false)] {
        assert_eq!(authenticator.is_required(service), is_required, "{service}");
    }
    let known = token(&one, "k1");
    assert!(authenticator.verify(&known, "chat", now()).is_ok());
    let refused = Err(Denial::Refused(TokenError::UnknownIssuer));
    assert_eq!(authenticator.verify(&known, "board", now()), refused);
    assert_eq!(
        authenticator.verify(&token(&two, "k1"), "chat", now()).map(|_| ()),
        Err(Denial::Refused(TokenError::Signature))
    );
}

#[test]
fn wrong_options_are_refused_with_the_option() {
    let (key, issuer, audience) =
        (["--jwt-jwks", "/none"], ["--jwt-issuer", "iss"], ["--jwt-audience", "b"]);
    for (arguments, expected) in [
        ([&key[..], &issuer].concat(), "--jwt-audience: is missing for issuer `iss`"),
        ([&key[..], &audience].concat(), "--jwt-issuer: is missing"),
        ([&issuer[..], &audience].concat(), "--jwt-jwks: issuer `iss` needs exactly one source"),
        ([&key[..], &issuer, &audience].concat(), "--jwt-jwks: /none: No such file"),
        (
            [&["--jwt-jwks", "http://id.example/keys"], &issuer[..], &audience].concat(),
            "--jwt-jwks: `http://id.example/keys` is not encrypted",
        ),
        (
            [&["--jwt-jwks", "https://user@id.example/keys"], &issuer[..], &audience].concat(),
            "must have a host and no login",
        ),
        ([&["--jwt-issuers", "/none"], &issuer[..]].concat(), "--jwt-issuers: excludes"),
        (
            [&["--jwt-services", "Chat"], &key[..], &issuer, &audience].concat(),
            "`Chat` is not the name",
        ),
    ] {
        let error = parse(&arguments).unwrap_err();
        assert!(error.contains(expected), "{arguments:?}: {error}");
    }
    assert!(!parse(&[]).unwrap().is_required("chat"), "no issuer, no token");
}

//! The cryptography of the `jsonwebtoken` crate by `ring`: verification of RS256, ES256, EdDSA and HS256, nothing else.

use jsonwebtoken::crypto::{CryptoProvider, JwtSigner, JwtVerifier, KeyUtils};
use jsonwebtoken::errors::{Error, ErrorKind};
use jsonwebtoken::signature::{Error as SignatureError, Verifier};
use jsonwebtoken::{Algorithm, DecodingKey, DecodingKeyKind, EncodingKey};
use ring::hmac;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents,
    UnparsedPublicKey, VerificationAlgorithm,
};

static PROVIDER: CryptoProvider = CryptoProvider {
    signer_factory: no_signer,
    verifier_factory: verifier,
    key_utils: KeyUtils::new_unimplemented(),
};

/// Selects this provider for the process, unless the program has selected another one.
pub(super) fn install() {
    let _ = PROVIDER.install_default();
}

struct RingVerifier {
    algorithm: Algorithm,
    key: DecodingKey,
}

fn no_signer(_: &Algorithm, _: &EncodingKey) -> Result<Box<dyn JwtSigner>, Error> {
    Err(ErrorKind::UnsupportedAlgorithm.into())
}

fn verifier(algorithm: &Algorithm, key: &DecodingKey) -> Result<Box<dyn JwtVerifier>, Error> {
    let supported = [Algorithm::RS256, Algorithm::ES256, Algorithm::EdDSA, Algorithm::HS256];
    if !supported.contains(algorithm) || algorithm.family() != key.family() {
        return Err(ErrorKind::InvalidAlgorithm.into());
    }
    Ok(Box::new(RingVerifier { algorithm: *algorithm, key: key.clone() }))
}

impl JwtVerifier for RingVerifier {
    fn algorithm(&self) -> Algorithm {
        self.algorithm
    }
}

impl Verifier<Vec<u8>> for RingVerifier {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> Result<(), SignatureError> {
        let bytes = self.key.try_get_as_bytes().unwrap_or_default();
        let by = |algorithm: &'static dyn VerificationAlgorithm| {
            UnparsedPublicKey::new(algorithm, bytes).verify(message, signature)
        };
        let verified = if self.algorithm == Algorithm::RS256 {
            let DecodingKeyKind::RsaModulusExponent { n, e } = self.key.kind() else {
                return Err(SignatureError::new());
            };
            // A JWK may have leading zeros, which `ring` rejects.
            let n = &n[n.iter().take_while(|byte| **byte == 0).count()..];
            let components = RsaPublicKeyComponents { n, e: e.as_slice() };
            components.verify(&RSA_PKCS1_2048_8192_SHA256, message, signature)
        } else if self.algorithm == Algorithm::ES256 {
            by(&ECDSA_P256_SHA256_FIXED)
        } else if self.algorithm == Algorithm::EdDSA {
            by(&ED25519)
        } else {
            hmac::verify(&hmac::Key::new(hmac::HMAC_SHA256, bytes), message, signature)
        };
        verified.map_err(|_| SignatureError::new())
    }
}

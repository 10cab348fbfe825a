//! The hash of a resume key. Only the hash leaves the edge, so that no core, store or application has a key.

use minerva_proto::client_protocol::{KEY_HASH_LENGTH, KeyHash};
use minerva_proto::v3::ResumeKey;
use ring::digest::{SHA256, digest};

/// The first bytes of the SHA-256 of the key's characters.
pub(super) fn key_hash(key: &ResumeKey) -> KeyHash {
    let digest = digest(&SHA256, key.as_str().as_bytes());
    let mut hash = [0; KEY_HASH_LENGTH];
    for (to, from) in hash.iter_mut().zip(digest.as_ref()) {
        *to = *from;
    }
    KeyHash(hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_that_of_the_protocol() {
        let key = ResumeKey::parse("Zk1uQ0pXc3VqV2h5dEJtRQ").unwrap();
        let text: String = key_hash(&key).0.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(text, "b318787927137695f8e610ae6dd7cbcc");
    }
}

//! The claims of a partition that the owner knows, as tags: detects tags of claims that the store has lost.
//!
//! Such a tag of an edge or an app instance proves a rollback of the store, though not the loss of a particular stream. A
//! tag of a client, which can be invented, decides about the stream of this client only. Pure.

use std::collections::VecDeque;

use minerva_proto::{ClaimTag, StreamNumber};

use super::PartitionStreams;
use crate::store::{CLAIMS_KEPT, Claim};

/// Limit of known claims: those of the store, and as many of this owner after rollbacks.
const MAX_KNOWN: usize = 2 * CLAIMS_KEPT;

/// The last claims of a partition, in order.
#[derive(Debug, Default)]
pub(super) struct KnownClaims {
    tags: VecDeque<ClaimTag>,
}

impl KnownClaims {
    /// Adds the claims that a claim of this owner has found in the store.
    pub(super) fn add(&mut self, claims: &[Claim]) {
        for claim in claims {
            let tag = ClaimTag::new(claim.epoch.0, &claim.owner);
            if !self.tags.contains(&tag) {
                self.tags.push_back(tag);
            }
        }
        let excess = self.tags.len().saturating_sub(MAX_KNOWN);
        self.tags.drain(..excess);
    }

    /// Returns true if no known claim has this tag, although the claim is not older than the known ones.
    ///
    /// A claim that the same owner made next is no loss: after a rollback of the store, the owner has written all
    /// numbers of the lost claim again under the new one.
    pub(super) fn is_lost(&self, tag: ClaimTag) -> bool {
        let Some(oldest) = self.tags.front().filter(|_| tag.is_known()) else { return false };
        if is_older(tag, *oldest) || self.tags.contains(&tag) {
            return false;
        }
        let next = self.tags.iter().find(|known| !is_older(**known, tag));
        next.is_none_or(|next| !next.has_owner_of(tag))
    }
}

impl PartitionStreams {
    /// Notes a rollback of the store if an edge or an app instance reports a claim that the store has lost.
    pub(super) fn check_claims(
        &mut self,
        stream: Option<StreamNumber>,
        tags: impl IntoIterator<Item = ClaimTag>,
    ) {
        let Some(tag) = self.lost_claim(stream, tags) else { return };
        self.note_rollback(true);
        self.losses.on_lost_claim(tag);
    }

    /// As [`Self::check_claims`], for a client, which can invent tags: no proof, but a suspicion.
    pub(super) fn check_claims_of_client(
        &mut self,
        stream: Option<StreamNumber>,
        tags: impl IntoIterator<Item = ClaimTag>,
    ) {
        if self.lost_claim(stream, tags).is_some() {
            self.tombstones.suspect_rollback();
        }
    }

    /// The first of these tags whose claim the store has lost.
    pub(super) fn lost_claim(
        &self,
        stream: Option<StreamNumber>,
        tags: impl IntoIterator<Item = ClaimTag>,
    ) -> Option<ClaimTag> {
        let is_lost =
            |tag: &ClaimTag| self.known_claims.is_lost(*tag) && !self.is_restored(stream, *tag);
        tags.into_iter().find(is_lost)
    }

    /// Returns true if an owner has restored the numbers of a claim that the store had lost.
    fn is_restored(&self, stream: Option<StreamNumber>, tag: ClaimTag) -> bool {
        let stream = stream.and_then(|number| self.streams.get(&number));
        stream.is_some_and(|stream| stream.state().has_tag(tag))
            || self.created_tags.lines().any(|(_, known)| known == tag)
    }
}

/// Whether a claim is older than another one. Epochs count modulo 2^32.
fn is_older(claim: ClaimTag, other: ClaimTag) -> bool {
    let age = other.epoch().wrapping_sub(claim.epoch());
    age != 0 && age < 1 << 31
}

#[cfg(test)]
mod tests {
    use minerva_proto::LogIndex;

    use super::*;
    use crate::store::Epoch;

    fn claim(epoch: u64, owner: &str) -> Claim {
        Claim { epoch: Epoch(epoch), next_index: LogIndex(0), owner: owner.to_owned() }
    }

    fn claims(epochs: std::ops::Range<u64>) -> Vec<Claim> {
        epochs.map(|epoch| claim(epoch, "a")).collect()
    }

    #[test]
    fn an_unknown_claim_that_is_not_older_is_lost() {
        let mut known = KnownClaims::default();
        assert!(!known.is_lost(ClaimTag::new(5, "b")), "no claim is known");
        known.add(&[claim(5, "a"), claim(6, "b")]);
        for (epoch, owner, is_lost) in [
            (4, "b", false),
            (5, "a", false),
            (5, "b", true),
            (6, "b", false),
            (6, "a", true),
            (7, "a", true),
        ] {
            assert_eq!(known.is_lost(ClaimTag::new(epoch, owner)), is_lost, "{epoch} {owner}");
        }
        assert!(!known.is_lost(ClaimTag::UNKNOWN));
        known.add(&[claim(7, "a")]);
        assert!(!known.is_lost(ClaimTag::new(7, "a")));
        assert!(!known.is_lost(ClaimTag::new(5, "a")), "claims that the store forgot stay known");
    }

    #[test]
    fn a_claim_that_its_owner_made_next_is_not_lost() {
        let mut known = KnownClaims::default();
        known.add(&[claim(3, "a"), claim(6, "b"), claim(8, "c"), claim(9, "b")]);
        for (epoch, owner, is_lost) in [
            (4, "b", false),
            (5, "b", false),
            (5, "a", true),
            (5, "c", true),
            (7, "c", false),
            (7, "b", true),
            (10, "b", true),
        ] {
            assert_eq!(known.is_lost(ClaimTag::new(epoch, owner)), is_lost, "{epoch} {owner}");
        }
    }

    #[test]
    fn epochs_count_modulo_2_to_the_32() {
        let mut known = KnownClaims::default();
        known.add(&claims((1 << 32) - 1..(1 << 32) + 1));
        for (epoch, is_lost) in [((1 << 32) - 2, false), ((1 << 32) + 1, true)] {
            assert_eq!(known.is_lost(ClaimTag::new(epoch, "b")), is_lost, "{epoch}");
        }
    }

    #[test]
    fn the_known_claims_are_bounded() {
        let most = MAX_KNOWN as u64;
        for (count, kept) in [(most - 1, most - 1), (most, most), (most + 1, most)] {
            let mut known = KnownClaims::default();
            known.add(&claims(1..count + 1));
            assert_eq!(known.tags.len() as u64, kept);
            known.add(&claims(1..count + 1));
            assert_eq!(known.tags.len() as u64, kept, "{count}");
        }
    }
}

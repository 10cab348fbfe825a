//! Owners of partitions as the links claim them, by the rules of `link.proto`. Pure; kept by `directory.rs`.

#[cfg(test)]
mod tests;

/// Number of a call to a core; never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct LinkId(pub(crate) u64);

/// A link's claim of a partition, from the announcement to the withdrawal. After a withdrawal the core has forgotten
/// the transports, so a repeated claim is a new one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct OwnerClaim {
    pub(crate) link: LinkId,
    pub(crate) partition: u32,
    since: u64,
}

/// Validity of a claim that [`OwnerTable::owner`] returned earlier.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ClaimStatus {
    /// The claim is valid.
    Valid,
    /// The link has withdrawn the claim, or made a new one.
    Withdrawn,
    /// Another link claims the partition under a higher epoch.
    Superseded,
}

/// Claims of all links. The highest epoch counts; of equal epochs, the latest announcement. After its withdrawal the
/// highest remaining epoch counts.
#[derive(Debug, Default)]
pub(crate) struct OwnerTable {
    /// Claims by partition, at most one per link.
    claims: Vec<Vec<Claim>>,
    /// Partitions with a claim.
    owned: usize,
    /// Number of announcements.
    announcements: u64,
}

#[derive(Debug, Clone, Copy)]
struct Claim {
    link: LinkId,
    epoch: u64,
    /// Number of the last announcement; orders equal epochs.
    announced: u64,
    /// Announcement that began the claim.
    since: u64,
}

impl OwnerTable {
    /// Creates a table without claims.
    pub(crate) fn new(partitions: u32) -> Self {
        Self { claims: vec![Vec::new(); partitions as usize], owned: 0, announcements: 0 }
    }

    /// Number of partitions.
    pub(crate) fn partitions(&self) -> u32 {
        u32::try_from(self.claims.len()).unwrap_or(u32::MAX)
    }

    /// Number of partitions with an owner.
    pub(crate) fn owned(&self) -> usize {
        self.owned
    }

    /// The claim of the current owner.
    pub(crate) fn owner(&self, partition: u32) -> Option<OwnerClaim> {
        let claims = self.claims.get(partition as usize)?;
        let best = claims.iter().max_by_key(|claim| (claim.epoch, claim.announced))?;
        Some(OwnerClaim { link: best.link, partition, since: best.since })
    }

    /// Status of a claim returned by [`Self::owner`].
    pub(crate) fn status(&self, of: OwnerClaim) -> ClaimStatus {
        let claims = self.claims.get(of.partition as usize).map_or(&[][..], Vec::as_slice);
        let own = claims.iter().find(|claim| claim.link == of.link);
        match own.filter(|claim| claim.since == of.since) {
            None => ClaimStatus::Withdrawn,
            Some(own) if claims.iter().any(|claim| claim.epoch > own.epoch) => {
                ClaimStatus::Superseded
            }
            Some(_) => ClaimStatus::Valid,
        }
    }

    /// Records that `link` claims `partition`. Returns whether the owner may have changed, so that transports must
    /// check again.
    pub(crate) fn claim(&mut self, link: LinkId, partition: u32, epoch: u64) -> bool {
        self.announcements += 1;
        let announced = self.announcements;
        let Some(claims) = self.claims.get_mut(partition as usize) else { return false };
        let highest = claims.iter().map(|claim| claim.epoch).max();
        if highest.is_none() {
            self.owned += 1;
        }
        let own = claims.iter_mut().find(|claim| claim.link == link);
        // After a rollback, the store may assign an epoch again.
        let lowered = own.as_ref().is_some_and(|own| own.epoch > epoch);
        match own {
            Some(own) => (own.epoch, own.announced) = (epoch, announced),
            None => claims.push(Claim { link, epoch, announced, since: announced }),
        }
        lowered || highest.is_none_or(|highest| epoch > highest)
    }

    /// Removes the claim of `link`; returns whether there was one.
    pub(crate) fn release(&mut self, link: LinkId, partition: u32) -> bool {
        let Some(claims) = self.claims.get_mut(partition as usize) else { return false };
        let before = claims.len();
        claims.retain(|claim| claim.link != link);
        let released = claims.len() < before;
        if released && claims.is_empty() {
            self.owned -= 1;
        }
        released
    }

    /// Removes a claim after the core has rejected a transport, unless the link has made a new claim since.
    pub(crate) fn withdraw(&mut self, claim: OwnerClaim) -> bool {
        self.status(claim) != ClaimStatus::Withdrawn && self.release(claim.link, claim.partition)
    }

    /// Removes all claims of a lost link and returns their partitions.
    pub(crate) fn lose(&mut self, link: LinkId) -> Vec<u32> {
        (0..self.partitions()).filter(|&partition| self.release(link, partition)).collect()
    }
}

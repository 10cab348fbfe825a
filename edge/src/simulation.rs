//! Access to the table of partition owners for the simulation (`tests/simulation`). Behind the feature `simulation`,
//! which no program enables.

use crate::link::owner_table::{ClaimStatus, LinkId, OwnerClaim, OwnerTable};

/// Owners of partitions as the links of an edge claim them.
#[derive(Debug)]
pub struct Owners(OwnerTable);

/// Claim under which a transport is attached.
#[derive(Debug, Clone, Copy)]
pub struct Reliance(OwnerClaim);

impl Owners {
    /// Creates a table without claims.
    pub fn new(partitions: u32) -> Self {
        Self(OwnerTable::new(partitions))
    }

    /// Records a claim of a link.
    pub fn claim(&mut self, link: u64, partition: u32, epoch: u64) {
        self.0.claim(LinkId(link), partition, epoch);
    }

    /// Records a release.
    pub fn release(&mut self, link: u64, partition: u32) {
        self.0.release(LinkId(link), partition);
    }

    /// Withdraws a claim after a rejected transport.
    pub fn withdraw(&mut self, reliance: Reliance) {
        self.0.withdraw(reliance.0);
    }

    /// Removes all claims of a lost link.
    pub fn lose(&mut self, link: u64) {
        self.0.lose(LinkId(link));
    }

    /// The current owner: link and claim.
    pub fn owner(&self, partition: u32) -> Option<(u64, Reliance)> {
        let claim = self.0.owner(partition)?;
        Some((claim.link.0, Reliance(claim)))
    }

    /// Whether the claim is still valid.
    pub fn is_good(&self, reliance: Reliance) -> bool {
        self.0.status(reliance.0) == ClaimStatus::Valid
    }
}

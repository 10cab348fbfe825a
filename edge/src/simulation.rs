//! What the simulation (`tests/simulation`) uses of the inside: the table of owners. Not built into any program.

use crate::link::table::{LinkId, Standing, Table, Tenure};

/// Who owns which partition, as the links of an edge know it.
#[derive(Debug)]
pub struct Owners(Table);

/// A link's claim on which a transport relies.
#[derive(Debug, Clone, Copy)]
pub struct Reliance(Tenure);

impl Owners {
    /// No claims yet.
    pub fn new(partitions: u32) -> Self {
        Self(Table::new(partitions))
    }

    /// A link claims a partition.
    pub fn claim(&mut self, link: u64, partition: u32, epoch: u64) {
        self.0.claim(LinkId(link), partition, epoch);
    }

    /// It claims it no longer.
    pub fn release(&mut self, link: u64, partition: u32) {
        self.0.release(LinkId(link), partition);
    }

    /// A core refused a transport.
    pub fn disown(&mut self, reliance: Reliance) {
        self.0.disown(reliance.0);
    }

    /// A link is lost.
    pub fn lose(&mut self, link: u64) {
        self.0.lose(LinkId(link));
    }

    /// The claim to rely on, and its link.
    pub fn owner(&self, partition: u32) -> Option<(u64, Reliance)> {
        let tenure = self.0.owner(partition)?;
        Some((tenure.link.0, Reliance(tenure)))
    }

    /// It may still be relied on.
    pub fn is_good(&self, reliance: Reliance) -> bool {
        self.0.standing(reliance.0) == Standing::Good
    }
}

//! Which link leads to the owner of each partition: what cores claim, and the rules of `link.proto`
//! about it. Pure: knows no calls, tasks or time. Kept by `directory.rs`.

#[cfg(test)]
mod tests;

/// One call to one core; never used again for another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct LinkId(pub(crate) u64);

/// A link's claim of a partition, from when it was told until it is given up. A core that claims again
/// what it gave up has forgotten the transports in between: that is another tenure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tenure {
    pub(crate) link: LinkId,
    pub(crate) partition: u32,
    since: u64,
}

/// What has become of a tenure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It may be relied on.
    Good,
    /// The link has another one, or none.
    GivenUp,
    /// Another link claims the partition under a higher epoch.
    Outbid,
}

/// The claims of all links. The highest epoch is right, and of equal ones the one told last; once that is
/// given up, the highest that is left.
#[derive(Debug, Default)]
pub(crate) struct Table {
    /// Claims by partition; at most one of each link.
    claims: Vec<Vec<Claim>>,
    /// Partitions with a claim.
    owned: usize,
    /// Counts what was told.
    told: u64,
}

#[derive(Debug, Clone, Copy)]
struct Claim {
    link: LinkId,
    epoch: u64,
    /// When it was told last; orders equal epochs.
    told: u64,
    /// When the tenure began.
    since: u64,
}

impl Table {
    /// No claims yet.
    pub(crate) fn new(partitions: u32) -> Self {
        Self { claims: vec![Vec::new(); partitions as usize], owned: 0, told: 0 }
    }

    /// How many partitions there are.
    pub(crate) fn partitions(&self) -> u32 {
        u32::try_from(self.claims.len()).unwrap_or(u32::MAX)
    }

    /// How many of them have an owner.
    pub(crate) fn owned(&self) -> usize {
        self.owned
    }

    /// The one to rely on.
    pub(crate) fn owner(&self, partition: u32) -> Option<Tenure> {
        let claims = self.claims.get(partition as usize)?;
        let best = claims.iter().max_by_key(|claim| (claim.epoch, claim.told))?;
        Some(Tenure { link: best.link, partition, since: best.since })
    }

    /// What has become of a tenure that [`Self::owner`] gave.
    pub(crate) fn standing(&self, tenure: Tenure) -> Standing {
        let claims = self.claims.get(tenure.partition as usize).map_or(&[][..], Vec::as_slice);
        let own = claims.iter().find(|claim| claim.link == tenure.link);
        match own.filter(|claim| claim.since == tenure.since) {
            None => Standing::GivenUp,
            Some(own) if claims.iter().any(|claim| claim.epoch > own.epoch) => Standing::Outbid,
            Some(_) => Standing::Good,
        }
    }

    /// `link` claims `partition`, which must exist. `true`: whoever waits for an owner or has another one
    /// should look again.
    pub(crate) fn claim(&mut self, link: LinkId, partition: u32, epoch: u64) -> bool {
        self.told += 1;
        let told = self.told;
        let Some(claims) = self.claims.get_mut(partition as usize) else { return false };
        let highest = claims.iter().map(|claim| claim.epoch).max();
        if highest.is_none() {
            self.owned += 1;
        }
        let own = claims.iter_mut().find(|claim| claim.link == link);
        // A store that went back in time may give an epoch again.
        let lowered = own.as_ref().is_some_and(|own| own.epoch > epoch);
        match own {
            Some(own) => (own.epoch, own.told) = (epoch, told),
            None => claims.push(Claim { link, epoch, told, since: told }),
        }
        lowered || highest.is_none_or(|highest| epoch > highest)
    }

    /// `link` claims `partition` no longer. `true`: it did before.
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

    /// A core refused a transport that relied on `tenure`: as [`Self::release`], unless the partition was
    /// claimed anew since.
    pub(crate) fn disown(&mut self, tenure: Tenure) -> bool {
        self.standing(tenure) != Standing::GivenUp && self.release(tenure.link, tenure.partition)
    }

    /// The link is lost, and with it all that it claimed; that is returned.
    pub(crate) fn lose(&mut self, link: LinkId) -> Vec<u32> {
        (0..self.partitions()).filter(|&partition| self.release(link, partition)).collect()
    }
}

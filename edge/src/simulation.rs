//! What the simulation (`tests/simulation`) uses of the inside: the link's two translations and the table of owners,
//! so that it says and does what an edge does. Not built into any program.

use minerva_proto::link as wire;

use crate::link::convert;
use crate::link::table::{LinkId, Standing, Table, Tenure};
use crate::transport::{FromCore, ToCore};

/// What a core says, and of what.
#[derive(Debug, PartialEq, Eq)]
pub enum Said {
    /// Of one transport.
    Of(u64, FromCore),
    /// The core has nothing to do with this transport's stream.
    Moved(u64),
    /// It owns these partitions, each under its epoch.
    Owned(Vec<(u32, u64)>),
    /// It owns these partitions no longer.
    Released(Vec<u32>),
}

/// What goes to the core about a transport, as a frame.
pub fn to_wire(transport: u64, message: ToCore) -> wire::EdgeFrame {
    wire::EdgeFrame { frame: Some(convert::to_wire(transport, message)) }
}

/// What the core says in one frame.
///
/// # Errors
/// What is wrong with it.
pub fn from_wire(frame: wire::CoreFrame) -> Result<Said, String> {
    let said = convert::from_wire(frame).map_err(|malformed| malformed.to_string())?;
    Ok(match said {
        convert::Said::Of(transport, message) => Said::Of(transport, message),
        convert::Said::Moved(transport) => Said::Moved(transport),
        convert::Said::Owned(claims) => Said::Owned(claims),
        convert::Said::Released(partitions) => Said::Released(partitions),
    })
}

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

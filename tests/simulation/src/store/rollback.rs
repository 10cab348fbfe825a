//! Values of a rollback of the store: its data and its scope.

use super::data::StoreData;

/// A rollback that has not happened yet.
#[derive(Debug)]
pub(super) struct PendingRollback {
    /// The data that the store returns to.
    pub(super) data: StoreData,
    /// The affected partitions; `None`: the whole store, with the membership.
    pub(super) partitions: Option<Vec<u32>>,
}

/// A rollback that has happened.
#[derive(Debug)]
pub(crate) struct RolledBack {
    pub(crate) partitions: Vec<u32>,
    /// Whether the rest of the store was not affected.
    pub(crate) is_partial: bool,
}

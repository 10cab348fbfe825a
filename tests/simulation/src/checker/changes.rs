//! Checks of changes from outside: a confirmed change is durable.

use super::Checker;
use crate::clock::Time;
use crate::durable::partition_of;
use crate::push::{ChangeKind, OutsideChange, SOME};

impl Checker {
    /// A core confirms a change, which must be durable. After a rollback, or instead of appends that a full store has refused,
    /// the owner may write the state without the history of a label.
    pub(crate) fn on_change_done(&mut self, change: &OutsideChange, now: Time) {
        let is_durable = self.durable.implies(change.stream, |state| match change.kind {
            ChangeKind::Label(Some(label)) => state.had_attribute(label) || state.is_ended(),
            ChangeKind::Join => state.had_attribute(SOME) || state.is_ended(),
            ChangeKind::Reset => state.is_ended(),
            // A later change may have set the label, or joined the group, again.
            ChangeKind::Label(None) | ChangeKind::Leave => true,
        });
        let partition = partition_of(change.stream);
        let has_history =
            !self.durable.is_rolled_back(partition) && !self.durable.is_rewritten(partition);
        if !is_durable && (has_history || change.kind == ChangeKind::Reset) {
            self.violation(format!("at {now}: a confirmed change is not durable: {change:?}"));
        }
    }
}

//! The app instances that can serve a stream: those of its service, with the features that its version needs. Pure.

use std::sync::Arc;

use minerva_proto::mutation::{self, Mutation};

use super::super::mailbox::SessionHandle;
use crate::state::StreamState;

/// The instances that can serve a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::partition) struct NeededInstance {
    pub(super) service: Arc<str>,
    /// The stream has version 3: only instances with the feature `message-kinds` serve it.
    pub(super) has_kinds: bool,
}

impl NeededInstance {
    pub(in crate::partition) fn of(state: &StreamState) -> Self {
        let has_kinds = state.origin().protocol.has_kinds();
        Self { service: state.service().clone(), has_kinds }
    }

    pub(super) fn is_served_by(&self, handle: &SessionHandle) -> bool {
        let is_able = handle.has_kinds || !self.has_kinds;
        is_able && (handle.service == self.service || mutation::is(Mutation::MixServices))
    }
}

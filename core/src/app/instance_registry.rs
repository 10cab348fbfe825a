//! The registry of app instances: one call per identity, and every partition knows all instances.
//!
//! Shared by the `Serve` calls.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::oneshot;

use crate::partition::{HeldStream, PartitionTable, SessionEnd, SessionHandle, SessionId};

/// Service and instance id.
type Identity = (Arc<str>, Arc<str>);

/// The registered instances.
pub(super) struct InstanceRegistry {
    partitions: PartitionTable,
    /// Held while partitions are notified, so that all get the same order. Never held over an await.
    sessions: Mutex<HashMap<Identity, Registered>>,
}

struct Registered {
    id: SessionId,
    /// Notified when another call registers the identity.
    replaced: oneshot::Sender<()>,
}

impl InstanceRegistry {
    pub(super) fn new(partitions: PartitionTable) -> Self {
        Self { partitions, sessions: Mutex::default() }
    }

    /// Registers an instance with every partition, after ending an earlier session of the same identity.
    ///
    /// `held` are the streams that the instance holds. The receiver is notified when another call replaces this one.
    pub(super) fn register(
        &self,
        session: SessionHandle,
        held: Vec<HeldStream>,
    ) -> oneshot::Receiver<()> {
        let (replaced, on_replaced) = oneshot::channel();
        let registered = Registered { id: session.id, replaced };
        let mut sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(earlier) = sessions.insert(identity(&session), registered) {
            // The earlier call may have ended just now.
            let _ = earlier.replaced.send(());
            self.partitions.remove_session(earlier.id, SessionEnd::Died);
        }
        self.partitions.add_session(session, held);
        on_replaced
    }

    /// Removes a session from every partition; `end` decides whether streams in delivery are suspects. No effect on a
    /// replaced session.
    pub(super) fn unregister(&self, session: &SessionHandle, end: SessionEnd) {
        let mut sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        if let Entry::Occupied(registered) = sessions.entry(identity(session))
            && registered.get().id == session.id
        {
            registered.remove();
            self.partitions.remove_session(session.id, end);
        }
    }
}

fn identity(session: &SessionHandle) -> Identity {
    (Arc::clone(&session.service), Arc::clone(&session.instance_id))
}

//! Which application instances are registered, so that an identity has one call at a time and every
//! partition knows all instances. Shared by the calls.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::oneshot;

use crate::partition::{Partitions, SessionHandle, SessionId};

/// Service and instance id.
type Identity = (Arc<str>, Arc<str>);

/// The registered instances.
pub(super) struct Sessions {
    partitions: Partitions,
    /// Held while partitions are told, so that all of them hear the same order. Never over an await.
    live: Mutex<HashMap<Identity, Live>>,
}

struct Live {
    id: SessionId,
    /// Told when another call takes the identity.
    replaced: oneshot::Sender<()>,
}

impl Sessions {
    pub(super) fn new(partitions: Partitions) -> Self {
        Self { partitions, live: Mutex::default() }
    }

    /// Tells every partition of a new instance and of the streams it holds there. Ends an earlier call
    /// with the same identity first. The receiver is told when another call does that to this one.
    pub(super) fn join(&self, session: SessionHandle, held: Vec<u64>) -> oneshot::Receiver<()> {
        let (replaced, on_replaced) = oneshot::channel();
        let live = Live { id: session.id, replaced };
        let mut sessions = self.live.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(earlier) = sessions.insert(identity(&session), live) {
            // Its call may have ended by itself in this moment.
            let _ = earlier.replaced.send(());
            self.partitions.leave(earlier.id);
        }
        self.partitions.join(session, held);
        on_replaced
    }

    /// Tells every partition that an instance is gone, unless that was done when it was replaced.
    pub(super) fn leave(&self, session: &SessionHandle) {
        let mut sessions = self.live.lock().unwrap_or_else(PoisonError::into_inner);
        if let Entry::Occupied(live) = sessions.entry(identity(session))
            && live.get().id == session.id
        {
            live.remove();
            self.partitions.leave(session.id);
        }
    }
}

fn identity(session: &SessionHandle) -> Identity {
    (Arc::clone(&session.service), Arc::clone(&session.instance_id))
}

//! At most one call per core: a second call of the same instance would end the first, and each would end the other in
//! turn. Shared by the connectors of a service.
//!
//! A core is identified by the id in the `Registered` event. Before that, and if the core sends no id, the configured
//! address is the key, so the socket addresses of one host name are called one after the other.

use std::collections::HashMap;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// The cores that have a call.
#[derive(Debug, Default)]
pub(super) struct CoreLocks {
    /// The holder of each locked key; the notification supersedes the holder.
    held: Mutex<HashMap<String, Arc<Notify>>>,
    /// Wakes the waiters of [`Self::unlocked`].
    released: Notify,
}

/// The exclusive right to call one core; released when dropped.
#[derive(Debug)]
pub(super) struct CoreLock {
    locks: Arc<CoreLocks>,
    core: String,
    /// Notified when another call has registered with the same core.
    superseded: Arc<Notify>,
}

impl CoreLocks {
    /// Waits until no call holds this core.
    pub(super) async fn unlocked(&self, core: &str) {
        let mut released = pin!(self.released.notified());
        loop {
            // Enabled before the check, so no wake-up is lost in between.
            released.as_mut().enable();
            if !self.lock().contains_key(core) {
                return;
            }
            released.as_mut().await;
            released.set(self.released.notified());
        }
    }

    /// Locks a core unless another call holds the lock.
    pub(super) fn try_lock(self: &Arc<Self>, core: &str) -> Option<CoreLock> {
        let superseded = Arc::new(Notify::new());
        let mut held = self.lock();
        if held.contains_key(core) {
            return None;
        }
        held.insert(core.to_owned(), Arc::clone(&superseded));
        drop(held);
        Some(CoreLock { locks: Arc::clone(self), core: core.to_owned(), superseded })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Arc<Notify>>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl CoreLock {
    /// Moves the lock to the id that the core has sent. An earlier call to the same core is superseded: the core has
    /// ended that call.
    pub(super) fn rekey(&mut self, core: &str) {
        if core == self.core {
            return;
        }
        let mut held = self.locks.lock();
        self.release(&mut held);
        let before = held.insert(core.to_owned(), Arc::clone(&self.superseded));
        drop(held);
        if let Some(before) = before {
            before.notify_one();
        }
        core.clone_into(&mut self.core);
        self.locks.released.notify_waiters();
    }

    /// Waits until another call has registered with the same core.
    pub(super) async fn superseded(&self) {
        self.superseded.notified().await;
    }

    fn release(&self, held: &mut HashMap<String, Arc<Notify>>) {
        if held.get(&self.core).is_some_and(|holder| Arc::ptr_eq(holder, &self.superseded)) {
            held.remove(&self.core);
        }
    }
}

impl Drop for CoreLock {
    fn drop(&mut self) {
        let mut held = self.locks.lock();
        self.release(&mut held);
        drop(held);
        self.locks.released.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[test]
    fn a_lock_has_one_holder() {
        let locks = Arc::new(CoreLocks::default());
        let first = locks.try_lock("a").unwrap();
        assert!(locks.try_lock("a").is_none());
        assert!(locks.try_lock("b").is_some());
        let mut waiting = pin!(locks.unlocked("a"));
        assert!(waiting.as_mut().now_or_never().is_none());
        drop(first);
        assert!(waiting.now_or_never().is_some());
        assert!(locks.try_lock("a").is_some());
    }

    #[test]
    fn a_newer_call_supersedes_an_older_one_to_the_same_core() {
        let locks = Arc::new(CoreLocks::default());
        let mut first = locks.try_lock("address-1").unwrap();
        first.rekey("core");
        let mut second = locks.try_lock("address-2").unwrap();
        assert!(first.superseded().now_or_never().is_none());
        second.rekey("core");
        assert!(first.superseded().now_or_never().is_some());
        assert!(second.superseded().now_or_never().is_none());
        // Dropping a superseded lock releases nothing.
        drop(first);
        assert!(locks.try_lock("core").is_none());
        assert!(locks.try_lock("address-1").is_some() && locks.try_lock("address-2").is_some());
        drop(second);
        assert!(locks.try_lock("core").is_some());
    }
}

//! Which core each call goes to, so that no core gets two: a second call of the same instance would end the first,
//! and that would come back and end the second. Shared by the tasks that call; knows no calls.
//!
//! A core is known by the name that it tells when a call registers. Until then, and if it tells none, the address as
//! the app wrote it stands for it: of several addresses of one host name one is called after the other.

use std::collections::HashMap;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// The cores that are called now.
#[derive(Debug, Default)]
pub(super) struct Claims {
    taken: Mutex<HashMap<String, Arc<Notify>>>,
    /// Wakes whoever waits for a core to be free.
    freed: Notify,
}

/// One call's right to its core, given back when dropped.
#[derive(Debug)]
pub(super) struct Claim {
    claims: Arc<Claims>,
    core: String,
    /// Told when another call has registered at the same core.
    superseded: Arc<Notify>,
}

impl Claims {
    /// Waits until no call goes to this core.
    pub(super) async fn free(&self, core: &str) {
        let mut change = pin!(self.freed.notified());
        loop {
            // Before it is asked, so that no wake-up is missed in between.
            change.as_mut().enable();
            if !self.lock().contains_key(core) {
                return;
            }
            change.as_mut().await;
            change.set(self.freed.notified());
        }
    }

    /// Claims a core, if no other call has.
    pub(super) fn claim(self: &Arc<Self>, core: &str) -> Option<Claim> {
        let superseded = Arc::new(Notify::new());
        let mut taken = self.lock();
        if taken.contains_key(core) {
            return None;
        }
        taken.insert(core.to_owned(), Arc::clone(&superseded));
        drop(taken);
        Some(Claim { claims: Arc::clone(self), core: core.to_owned(), superseded })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Arc<Notify>>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Claim {
    /// The core of this call turned out to be this one. A call that went there before is superseded: the core
    /// has ended it.
    pub(super) fn rename(&mut self, core: &str) {
        if core == self.core {
            return;
        }
        let mut taken = self.claims.lock();
        self.release(&mut taken);
        let before = taken.insert(core.to_owned(), Arc::clone(&self.superseded));
        drop(taken);
        if let Some(before) = before {
            before.notify_one();
        }
        core.clone_into(&mut self.core);
        self.claims.freed.notify_waiters();
    }

    /// Waits until another call has registered at the same core.
    pub(super) async fn superseded(&self) {
        self.superseded.notified().await;
    }

    fn release(&self, taken: &mut HashMap<String, Arc<Notify>>) {
        if taken.get(&self.core).is_some_and(|holder| Arc::ptr_eq(holder, &self.superseded)) {
            taken.remove(&self.core);
        }
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let mut taken = self.claims.lock();
        self.release(&mut taken);
        drop(taken);
        self.claims.freed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[test]
    fn one_at_a_time() {
        let claims = Arc::new(Claims::default());
        let first = claims.claim("a").unwrap();
        assert!(claims.claim("a").is_none());
        assert!(claims.claim("b").is_some());
        let mut waiting = pin!(claims.free("a"));
        assert!(waiting.as_mut().now_or_never().is_none());
        drop(first);
        assert!(waiting.now_or_never().is_some());
        assert!(claims.claim("a").is_some());
    }

    #[test]
    fn the_newer_call_to_a_core_has_it() {
        let claims = Arc::new(Claims::default());
        let mut first = claims.claim("address-1").unwrap();
        first.rename("core");
        let mut second = claims.claim("address-2").unwrap();
        assert!(first.superseded().now_or_never().is_none());
        second.rename("core");
        assert!(first.superseded().now_or_never().is_some());
        assert!(second.superseded().now_or_never().is_none());
        // What is superseded gives nothing back.
        drop(first);
        assert!(claims.claim("core").is_none());
        assert!(claims.claim("address-1").is_some() && claims.claim("address-2").is_some());
        drop(second);
        assert!(claims.claim("core").is_some());
    }
}

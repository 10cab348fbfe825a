//! Wake flags: the event loop polls a receiver again only after the receiver has woken its flag. A run has dozens of
//! receivers, of which few have content at a time.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Wake, Waker};

/// The waker of the event loop, shared by all flags of a process.
#[derive(Debug, Default)]
pub(crate) struct LoopWaker {
    waker: Mutex<Option<Waker>>,
}

/// The flag of one receiver, set at first.
#[derive(Debug)]
pub(crate) struct WakeFlag {
    flag: Arc<Flag>,
    /// Sets the flag.
    waker: Waker,
}

#[derive(Debug)]
struct Flag {
    is_set: AtomicBool,
    event_loop: Arc<LoopWaker>,
}

impl LoopWaker {
    /// Sets the waker of the event loop.
    pub(crate) fn register(&self, waker: &Waker) {
        let mut registered = self.waker.lock().unwrap_or_else(PoisonError::into_inner);
        if !registered.as_ref().is_some_and(|before| before.will_wake(waker)) {
            *registered = Some(waker.clone());
        }
    }

    fn wake(&self) {
        if let Some(waker) = &*self.waker.lock().unwrap_or_else(PoisonError::into_inner) {
            waker.wake_by_ref();
        }
    }
}

impl WakeFlag {
    pub(crate) fn new(event_loop: &Arc<LoopWaker>) -> Self {
        let event_loop = Arc::clone(event_loop);
        let flag = Arc::new(Flag { is_set: AtomicBool::new(true), event_loop });
        let waker = Waker::from(Arc::clone(&flag));
        Self { flag, waker }
    }

    /// Clears the flag. Returns the context for a poll if the flag was set.
    pub(crate) fn take(&self) -> Option<Context<'_>> {
        self.flag.is_set.swap(false, Ordering::Relaxed).then(|| Context::from_waker(&self.waker))
    }
}

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.is_set.swap(true, Ordering::Relaxed) {
            self.event_loop.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_receiver_is_polled_again_only_after_a_wake() {
        let event_loop = Arc::new(LoopWaker::default());
        let flag = WakeFlag::new(&event_loop);
        let waker = flag.take().map(|cx| cx.waker().clone());
        assert!(flag.take().is_none(), "polled, and not woken");
        waker.into_iter().for_each(Waker::wake);
        assert!(flag.take().is_some() && flag.take().is_none());
    }

    #[test]
    fn a_wake_reaches_the_event_loop_once_until_the_next_poll() {
        let (outer, event_loop) = (Arc::new(LoopWaker::default()), Arc::new(LoopWaker::default()));
        let of_loop = WakeFlag::new(&outer);
        let waker = of_loop.take().map(|cx| cx.waker().clone());
        event_loop.register(&waker.unwrap_or_else(|| Waker::noop().clone()));
        let flag = WakeFlag::new(&event_loop);
        let waker = flag.take().map(|cx| cx.waker().clone());
        waker.iter().for_each(Waker::wake_by_ref);
        assert!(of_loop.take().is_some());
        waker.iter().for_each(Waker::wake_by_ref);
        assert!(of_loop.take().is_none(), "the flag is set already");
    }
}

//! Wake flags: the event loop polls a receiver again only after the receiver has woken its flag. A run has dozens of
//! receivers, of which few have content at a time.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Wake, Waker};

/// The waker of the event loop, shared by all flags of a process.
#[derive(Debug)]
pub(crate) struct LoopWaker {
    waker: Mutex<Option<Waker>>,
    /// Whether a flag was set since the last poll.
    is_woken: AtomicBool,
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

impl Default for LoopWaker {
    fn default() -> Self {
        Self { waker: Mutex::default(), is_woken: AtomicBool::new(true) }
    }
}

impl LoopWaker {
    /// Begins a poll of the event loop, which has one waker. Returns whether a flag can be set.
    pub(crate) fn begin_poll(&self, waker: &Waker) -> bool {
        let is_woken = self.is_woken.swap(false, Ordering::Relaxed);
        if is_woken {
            let mut registered = self.waker.lock().unwrap_or_else(PoisonError::into_inner);
            registered.get_or_insert_with(|| waker.clone());
        }
        is_woken
    }

    fn wake(&self) {
        if self.is_woken.swap(true, Ordering::Relaxed) {
            return;
        }
        if let Some(waker) = &*self.waker.lock().unwrap_or_else(PoisonError::into_inner) {
            waker.wake_by_ref();
        }
    }
}

impl WakeFlag {
    pub(crate) fn new(event_loop: &Arc<LoopWaker>) -> Self {
        let event_loop = Arc::clone(event_loop);
        event_loop.wake();
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
        let loop_waker = waker.unwrap_or_else(|| Waker::noop().clone());
        assert!(event_loop.begin_poll(&loop_waker) && !event_loop.begin_poll(&loop_waker));
        let flag = WakeFlag::new(&event_loop);
        assert!(
            of_loop.take().is_some() && event_loop.begin_poll(&loop_waker),
            "a new flag is set"
        );
        let waker = flag.take().map(|cx| cx.waker().clone());
        waker.iter().for_each(Waker::wake_by_ref);
        assert!(of_loop.take().is_some());
        waker.iter().for_each(Waker::wake_by_ref);
        assert!(of_loop.take().is_none(), "the flag is set already");
        assert!(event_loop.begin_poll(&loop_waker) && !event_loop.begin_poll(&loop_waker));
    }
}

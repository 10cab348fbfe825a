//! Tasks that can be made to stand still, as SIGSTOP does with a process: they are not polled, whatever happens, and
//! go on later from where they were. A task that such a task begins belongs to it.

use std::cell::RefCell;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

thread_local! {
    /// Whose task is being polled.
    static CURRENT: RefCell<Option<Arc<Standing>>> = const { RefCell::new(None) };
}

/// Whether the tasks of a process stand still.
#[derive(Debug, Default)]
pub struct Standing {
    shared: Mutex<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    is_still: bool,
    wakers: Vec<Waker>,
}

/// A future that stands still with its process.
pub struct Stands<F> {
    inner: Pin<Box<F>>,
    standing: Option<Arc<Standing>>,
}

impl Standing {
    /// They stand still from now on.
    pub fn stop(&self) {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner).is_still = true;
    }

    /// They go on.
    pub fn go_on(&self) {
        let mut shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        shared.is_still = false;
        shared.wakers.drain(..).for_each(Waker::wake);
    }

    fn poll(&self, cx: &Context<'_>) -> Poll<()> {
        let mut shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        if shared.is_still {
            shared.wakers.push(cx.waker().clone());
            return Poll::Pending;
        }
        Poll::Ready(())
    }
}

/// Makes a future one of a process.
pub fn of_process<F: Future>(standing: Arc<Standing>, inner: F) -> Stands<F> {
    Stands { inner: Box::pin(inner), standing: Some(standing) }
}

/// Makes a future one of the process whose task is being polled.
pub(crate) fn of_current<F: Future>(inner: F) -> Stands<F> {
    let standing = CURRENT.with_borrow(Clone::clone);
    Stands { inner: Box::pin(inner), standing }
}

impl<F: Future> Future for Stands<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let Some(standing) = self.standing.clone() else { return self.inner.as_mut().poll(cx) };
        std::task::ready!(standing.poll(cx));
        let before = CURRENT.replace(Some(standing));
        let polled = self.inner.as_mut().poll(cx);
        CURRENT.set(before);
        polled
    }
}

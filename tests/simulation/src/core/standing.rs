//! A task that can be made to stand still, as SIGSTOP does with a process: it is not polled, whatever happens, and
//! goes on later from where it was.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

/// Whether the tasks of a process stand still.
#[derive(Debug, Default)]
pub(super) struct Standing {
    shared: Mutex<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    is_still: bool,
    wakers: Vec<Waker>,
}

/// A future that stands still with its process.
pub(super) struct Stands<F> {
    inner: Pin<Box<F>>,
    standing: Arc<Standing>,
}

impl Standing {
    pub(super) fn stop(&self) {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner).is_still = true;
    }

    pub(super) fn go_on(&self) {
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

pub(super) fn standing<F: Future>(inner: F, standing: Arc<Standing>) -> Stands<F> {
    Stands { inner: Box::pin(inner), standing }
}

impl<F: Future> Future for Stands<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        std::task::ready!(self.standing.poll(cx));
        self.inner.as_mut().poll(cx)
    }
}

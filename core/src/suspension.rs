//! Suspension of simulated processes: the effect of SIGSTOP and SIGCONT on the tasks of one process.
//!
//! The simulation wraps the tasks of a process. The tasks of a suspended process are not polled; after a resume they
//! continue. A task spawned through [`in_current_process`] joins the process of the parent.

use std::cell::RefCell;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

thread_local! {
    /// The process of the task that is being polled.
    static CURRENT: RefCell<Option<Arc<SimulatedProcess>>> = const { RefCell::new(None) };
}

/// A simulated process, which runs or is suspended.
#[derive(Debug, Default)]
pub struct SimulatedProcess {
    shared: Mutex<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    is_suspended: bool,
    /// Wakers of tasks that were polled during the suspension.
    wakers: Vec<Waker>,
}

/// A future that is not polled while the process is suspended.
pub struct Suspendable<F> {
    inner: Pin<Box<F>>,
    process: Option<Arc<SimulatedProcess>>,
}

impl SimulatedProcess {
    /// Suspends all tasks of the process.
    pub fn suspend(&self) {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner).is_suspended = true;
    }

    /// Resumes all tasks of the process.
    pub fn resume(&self) {
        let mut shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        shared.is_suspended = false;
        shared.wakers.drain(..).for_each(Waker::wake);
    }

    fn poll_running(&self, cx: &Context<'_>) -> Poll<()> {
        let mut shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        if shared.is_suspended {
            shared.wakers.push(cx.waker().clone());
            return Poll::Pending;
        }
        Poll::Ready(())
    }
}

/// Makes a future part of a process.
pub fn in_process<F: Future>(process: Arc<SimulatedProcess>, inner: F) -> Suspendable<F> {
    Suspendable { inner: Box::pin(inner), process: Some(process) }
}

/// Makes a future part of the process whose task is being polled.
pub(crate) fn in_current_process<F: Future>(inner: F) -> Suspendable<F> {
    let process = CURRENT.with_borrow(Clone::clone);
    Suspendable { inner: Box::pin(inner), process }
}

impl<F: Future> Future for Suspendable<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let Some(process) = self.process.clone() else { return self.inner.as_mut().poll(cx) };
        std::task::ready!(process.poll_running(cx));
        let before = CURRENT.replace(Some(process));
        let polled = self.inner.as_mut().poll(cx);
        CURRENT.set(before);
        polled
    }
}

//! Polls a future again at once if the future has woken itself during the poll.
//!
//! tokio treats a self-wake as a yield: the task goes to the end of the queue and another worker thread is woken. For
//! the connection tasks of HTTP/2 this would happen with each message.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use futures_util::task::AtomicWaker;

/// Limit of polls in a row; then the task yields to others.
const MAX_INLINE_POLLS: u32 = 16;

/// No poll runs, and no wake has arrived since the last one.
const IDLE: u8 = 0;
/// A poll runs. A wake from now on may concern state that the poll has already read.
const POLLED: u8 = 1;
/// A wake has arrived since the last poll began.
const WOKEN: u8 = 2;

/// A future that is polled until it waits for an external event.
#[derive(Debug)]
pub struct InlineWake<F> {
    future: Pin<Box<F>>,
    state: Arc<WakeState>,
    /// Wakes through `state`.
    waker: Waker,
}

/// The receiver of wakes.
#[derive(Debug, Default)]
struct WakeState {
    /// [`IDLE`], [`POLLED`] or [`WOKEN`].
    phase: AtomicU8,
    /// Waker of the task that polls the future.
    task: AtomicWaker,
}

impl<F: Future> InlineWake<F> {
    /// Wraps the future of a task.
    pub fn new(future: F) -> Self {
        let state = Arc::<WakeState>::default();
        Self { future: Box::pin(future), waker: Waker::from(Arc::clone(&state)), state }
    }
}

impl<F: Future> Future for InlineWake<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let Self { future, state, waker } = &mut *self;
        state.task.register(context.waker());
        for _ in 0..MAX_INLINE_POLLS {
            state.phase.store(POLLED, Ordering::SeqCst);
            let polled = future.as_mut().poll(&mut Context::from_waker(waker));
            if polled.is_ready() || state.set_idle() {
                return polled;
            }
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }
}

impl WakeState {
    /// Returns true if no wake has arrived since the poll began; from now on a wake reaches the task.
    fn set_idle(&self) -> bool {
        self.phase.compare_exchange(POLLED, IDLE, Ordering::SeqCst, Ordering::SeqCst).is_ok()
    }
}

impl Wake for WakeState {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if self.phase.swap(WOKEN, Ordering::SeqCst) == IDLE {
            self.task.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::sync::atomic::AtomicU32;

    use futures_util::FutureExt;
    use tokio::sync::mpsc;
    use tokio::task::spawn_blocking;

    use super::*;

    /// Counts the wakes of a task.
    #[derive(Default)]
    struct Task(AtomicU32);

    impl Wake for Task {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    /// Polls once; returns the number of wakes so far and the result.
    fn poll<F: Future>(future: &mut InlineWake<F>, task: &Arc<Task>) -> (u32, Poll<F::Output>) {
        let waker = Waker::from(Arc::clone(task));
        let polled = future.poll_unpin(&mut Context::from_waker(&waker));
        (task.0.load(Ordering::SeqCst), polled)
    }

    /// A future that wakes itself a number of times, then waits for an external event.
    fn wakes_itself(times: u32) -> (InlineWake<impl Future<Output = ()>>, mpsc::Sender<()>) {
        let (outside, mut inside) = mpsc::channel(1);
        let mut left = times;
        let future = poll_fn(move |context| {
            if left > 0 {
                left -= 1;
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
            inside.poll_recv(context).map(|_| ())
        });
        (InlineWake::new(future), outside)
    }

    #[test]
    fn a_future_that_wakes_itself_is_polled_at_once() {
        for times in [0, 1, 2, MAX_INLINE_POLLS - 1] {
            let (mut future, outside) = wakes_itself(times);
            let task = Arc::<Task>::default();
            assert_eq!(poll(&mut future, &task), (0, Poll::Pending), "{times}");
            outside.try_send(()).unwrap();
            assert_eq!(poll(&mut future, &task), (1, Poll::Ready(())), "{times}");
        }
    }

    #[test]
    fn the_number_of_inline_polls_is_limited() {
        for (times, wakes) in
            [(MAX_INLINE_POLLS - 1, 0), (MAX_INLINE_POLLS, 1), (MAX_INLINE_POLLS + 1, 1)]
        {
            let (mut future, outside) = wakes_itself(times);
            let task = Arc::<Task>::default();
            assert_eq!(poll(&mut future, &task), (wakes, Poll::Pending), "{times}");
            // A wake in the meantime is not lost: the task is woken already, or is woken now.
            outside.try_send(()).unwrap();
            assert_eq!(poll(&mut future, &task), (1, Poll::Ready(())), "{times}");
        }
    }

    #[test]
    fn several_external_wakes_wake_the_task_once() {
        let (sender, mut receiver) = mpsc::channel(4);
        let mut future = InlineWake::new(async move {
            let mut all = Vec::new();
            while let Some(number) = receiver.recv().await {
                all.push(number);
            }
            all
        });
        let task = Arc::<Task>::default();
        assert_eq!(poll(&mut future, &task), (0, Poll::Pending));
        let waker = future.waker.clone();
        sender.try_send(1).unwrap();
        waker.wake_by_ref();
        sender.try_send(2).unwrap();
        drop(sender);
        assert_eq!(poll(&mut future, &task), (1, Poll::Ready(vec![1, 2])));
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn wakes_of_another_thread_are_not_lost() {
        const NUMBERS: u64 = 50_000;
        let (sender, mut receiver) = mpsc::channel(1);
        let sum = tokio::spawn(InlineWake::new(async move {
            let mut sum = 0;
            while let Some(number) = receiver.recv().await {
                sum += number;
            }
            sum
        }));
        let sending = spawn_blocking(move || {
            for number in 0..NUMBERS {
                sender.blocking_send(number).unwrap();
            }
        });
        assert_eq!(sum.await.unwrap(), NUMBERS * (NUMBERS - 1) / 2);
        sending.await.unwrap();
    }
}

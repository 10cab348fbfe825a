//! A future that goes on at once where it has woken itself. The runtime takes such a one for one that gives way to
//! others: it puts it behind them and wakes a thread for it.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use futures_util::task::AtomicWaker;

/// How often in a row a future goes on before it does give way to others.
const MAX_GOES: u32 = 16;

/// Nobody polls, and nobody has woken since.
const IDLE: u8 = 0;
/// Polled at this moment; a wake from now on concerns what it may have looked at already.
const POLLED: u8 = 1;
/// Woken since the last poll began.
const WOKEN: u8 = 2;

/// Polls a future until it waits for something outside.
#[derive(Debug)]
pub struct InlineWake<F> {
    future: Pin<Box<F>>,
    gate: Arc<Gate>,
    /// Wakes by the gate.
    waker: Waker,
}

/// Where wakes arrive.
#[derive(Debug, Default)]
struct Gate {
    state: AtomicU8,
    /// The task that has the future.
    task: AtomicWaker,
}

impl<F: Future> InlineWake<F> {
    /// Around a future that is a task of its own.
    pub fn new(future: F) -> Self {
        let gate = Arc::<Gate>::default();
        Self { future: Box::pin(future), waker: Waker::from(Arc::clone(&gate)), gate }
    }
}

impl<F: Future> Future for InlineWake<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let Self { future, gate, waker } = &mut *self;
        gate.task.register(context.waker());
        for _ in 0..MAX_GOES {
            gate.state.store(POLLED, Ordering::SeqCst);
            let polled = future.as_mut().poll(&mut Context::from_waker(waker));
            if polled.is_ready() || gate.may_rest() {
                return polled;
            }
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }
}

impl Gate {
    /// Whether nobody has woken since the poll began. From then on a wake reaches the task.
    fn may_rest(&self) -> bool {
        self.state.compare_exchange(POLLED, IDLE, Ordering::SeqCst, Ordering::SeqCst).is_ok()
    }
}

impl Wake for Gate {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if self.state.swap(WOKEN, Ordering::SeqCst) == IDLE {
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

    /// Counts how often a task is woken.
    #[derive(Default)]
    struct Task(AtomicU32);

    impl Wake for Task {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    /// Polls once; how often the task was woken in all, and what came of it.
    fn poll<F: Future>(future: &mut InlineWake<F>, task: &Arc<Task>) -> (u32, Poll<F::Output>) {
        let waker = Waker::from(Arc::clone(task));
        let polled = future.poll_unpin(&mut Context::from_waker(&waker));
        (task.0.load(Ordering::SeqCst), polled)
    }

    /// A future that wakes itself this often, and then waits for something from outside.
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
    fn it_goes_on_where_it_wakes_itself_and_is_woken_from_outside() {
        for times in [0, 1, 2, MAX_GOES - 1] {
            let (mut future, outside) = wakes_itself(times);
            let task = Arc::<Task>::default();
            assert_eq!(poll(&mut future, &task), (0, Poll::Pending), "{times}");
            outside.try_send(()).unwrap();
            assert_eq!(poll(&mut future, &task), (1, Poll::Ready(())), "{times}");
        }
    }

    #[test]
    fn it_gives_way_to_others_after_a_while() {
        for (times, wakes) in [(MAX_GOES - 1, 0), (MAX_GOES, 1), (MAX_GOES + 1, 1)] {
            let (mut future, outside) = wakes_itself(times);
            let task = Arc::<Task>::default();
            assert_eq!(poll(&mut future, &task), (wakes, Poll::Pending), "{times}");
            // What wakes it meanwhile is not lost: the task is woken already, or is now.
            outside.try_send(()).unwrap();
            assert_eq!(poll(&mut future, &task), (1, Poll::Ready(())), "{times}");
        }
    }

    #[test]
    fn several_wakes_from_outside_wake_the_task_once() {
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
    async fn no_wake_of_another_thread_is_lost() {
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

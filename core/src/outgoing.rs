//! The answering half of a gRPC call of ours: a greeting, then what partitions send, gathered into
//! messages, then the status that ends the call. Used by the link and the application API, which say by
//! [`Pack`] how their messages look and what of a backlog may go as one. Holds a bounded part of what waits; the rest
//! stays in the channel, bounded by the credit that the peer gave.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_util::Stream;
use minerva_runtime::tasks::Coalescer;
use tokio::sync::oneshot;
use tonic::Status;

use crate::partition::{OutputReceiver, OutputSender, outputs};

/// Items in one message. Gathering more than 16 to 64 gains nothing any more.
const MAX_ITEMS: usize = 256;
/// Items taken out of the channel at once, of which messages are made then.
const MAX_TAKEN: usize = 8192;
/// Bytes at which a message takes no more items: far below what a receiver accepts, even when the last
/// item is a string of 1 MiB.
const MAX_BYTES: usize = 256 << 10;

/// What partitions send over a call.
pub(crate) trait Pack: Sized + Unpin {
    /// The message of the contract.
    type Message;
    /// Roughly how many bytes it takes in a message.
    fn weight(&self) -> usize;
    /// Set if this ends the call instead of being sent.
    fn failure(&self) -> Option<Status>;
    /// Makes one message.
    fn pack(items: Vec<Self>) -> Self::Message;
    /// Puts together what may go as one item, out of more than goes into one message: the peer is behind.
    fn gather(items: Vec<Self>) -> VecDeque<Self> {
        items.into()
    }
}

/// The stream of messages. Made with the ends of three channels, whose other ends the reading half has.
pub(crate) struct Outgoing<T: Pack> {
    /// The first message; `None` once it is sent.
    greeting: Option<oneshot::Receiver<T::Message>>,
    ready: OutputReceiver<T>,
    /// How the call ends, once nothing is ready any more.
    end: oneshot::Receiver<Result<(), Status>>,
    /// Taken out of `ready`, not yet in a message; at most [`MAX_TAKEN`].
    waiting: VecDeque<T>,
    coalescer: Coalescer,
    finished: bool,
}

/// The ends for the reading half.
pub(crate) struct Control<T: Pack> {
    pub(crate) greeting: oneshot::Sender<T::Message>,
    pub(crate) outputs: OutputSender<T>,
    pub(crate) end: oneshot::Sender<Result<(), Status>>,
}

impl<T: Pack> Outgoing<T> {
    pub(crate) fn new() -> (Control<T>, Self) {
        let (greeting, greeted) = oneshot::channel();
        let (outputs, ready) = outputs();
        let (end, ended) = oneshot::channel();
        let outgoing = Self {
            greeting: Some(greeted),
            ready,
            end: ended,
            waiting: VecDeque::new(),
            coalescer: Coalescer::default(),
            finished: false,
        };
        (Control { greeting, outputs, end }, outgoing)
    }

    fn poll_greeting(&mut self, cx: &mut Context<'_>) -> Poll<Option<T::Message>> {
        let Some(greeting) = &mut self.greeting else { return Poll::Ready(None) };
        // Without a greeting the call has failed, and `end` says how.
        let message = ready!(Pin::new(greeting).poll(cx)).ok();
        self.greeting = None;
        Poll::Ready(message)
    }

    /// Takes what is ready; pending while that waits for company.
    fn fill(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.waiting.is_empty() {
            if !self.ready.is_empty() {
                ready!(self.coalescer.poll_ready(cx));
            }
            let mut items = Vec::new();
            if self.ready.poll_many(cx, &mut items, MAX_TAKEN).is_ready() {
                self.waiting =
                    if items.len() > MAX_ITEMS { T::gather(items) } else { items.into() };
            }
        }
        Poll::Ready(())
    }

    fn next_message(&mut self) -> Option<Result<T::Message, Status>> {
        if let Some(status) = self.waiting.front()?.failure() {
            self.finished = true;
            return Some(Err(status));
        }
        let (mut items, mut bytes) = (Vec::new(), 0);
        while items.len() < MAX_ITEMS
            && bytes < MAX_BYTES
            && self.waiting.front().is_some_and(|item| item.failure().is_none())
            && let Some(item) = self.waiting.pop_front()
        {
            bytes += item.weight();
            items.push(item);
        }
        Some(Ok(T::pack(items)))
    }

    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<T::Message, Status>>> {
        let end = ready!(Pin::new(&mut self.end).poll(cx));
        self.finished = true;
        Poll::Ready(match end {
            Ok(Err(status)) => Some(Err(status)),
            Ok(Ok(())) | Err(_) => None,
        })
    }
}

impl<T: Pack> Stream for Outgoing<T> {
    type Item = Result<T::Message, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.finished {
            return Poll::Ready(None);
        }
        if let Some(greeting) = ready!(self.poll_greeting(cx)) {
            return Poll::Ready(Some(Ok(greeting)));
        }
        ready!(self.fill(cx));
        match self.next_message() {
            Some(message) => Poll::Ready(Some(message)),
            None => self.poll_end(cx),
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::StreamExt;

    use super::*;

    /// Weighs its number; above a million it is a failure.
    impl Pack for usize {
        type Message = Vec<Self>;

        fn weight(&self) -> usize {
            *self
        }

        fn failure(&self) -> Option<Status> {
            (*self > 1_000_000).then(|| Status::invalid_argument("too big"))
        }

        fn pack(items: Vec<Self>) -> Vec<Self> {
            items
        }

        /// Ones are put together.
        fn gather(items: Vec<Self>) -> VecDeque<Self> {
            let is_one = items.iter().all(|item| *item == 1);
            if is_one { [items.len()].into() } else { items.into() }
        }
    }

    fn sent(items: impl IntoIterator<Item = usize>) -> (Control<usize>, Outgoing<usize>) {
        let (control, outgoing) = Outgoing::new();
        for item in items {
            control.outputs.send(item);
        }
        (control, outgoing)
    }

    /// All messages, and the code that ends the call.
    async fn all(outgoing: Outgoing<usize>) -> (Vec<Vec<usize>>, Option<tonic::Code>) {
        let (mut messages, mut code) = (Vec::new(), None);
        let mut outgoing = outgoing;
        while let Some(message) = outgoing.next().await {
            match message {
                Ok(message) => messages.push(message),
                Err(status) => code = Some(status.code()),
            }
        }
        (messages, code)
    }

    #[tokio::test]
    async fn the_greeting_is_first_and_what_is_ready_is_sent_before_the_end() {
        let (control, outgoing) = sent([1, 2, 3]);
        control.greeting.send(vec![0]).unwrap();
        control.end.send(Err(Status::unavailable("stopping"))).unwrap();
        let expected = (vec![vec![0], vec![1, 2, 3]], Some(tonic::Code::Unavailable));
        assert_eq!(all(outgoing).await, expected);
    }

    #[tokio::test]
    async fn a_message_has_at_most_so_many_items() {
        for (count, sizes) in [(255, vec![255]), (256, vec![256]), (257, vec![256, 1])] {
            let (control, outgoing) = sent(std::iter::repeat_n(0, count));
            drop((control.greeting, control.end, control.outputs));
            let (messages, _) = all(outgoing).await;
            assert_eq!(messages.iter().map(Vec::len).collect::<Vec<_>>(), sizes);
        }
    }

    #[tokio::test]
    async fn so_much_is_taken_out_of_the_channel_at_once() {
        for (count, left) in [(MAX_TAKEN - 1, 0), (MAX_TAKEN, 0), (MAX_TAKEN + 1, 1)] {
            let (control, mut outgoing) = sent(std::iter::repeat_n(0, count));
            drop((control.greeting, control.end, control.outputs));
            assert_eq!(outgoing.next().await.map(|first| first.unwrap().len()), Some(MAX_ITEMS));
            assert_eq!(outgoing.waiting.len(), count.min(MAX_TAKEN) - MAX_ITEMS);
            assert_eq!(std::iter::from_fn(|| outgoing.ready.try_next()).count(), left);
        }
    }

    #[tokio::test]
    async fn more_than_a_message_is_put_together() {
        for (count, messages) in
            [(MAX_ITEMS, vec![MAX_ITEMS]), (MAX_ITEMS + 1, vec![1]), (2 * MAX_ITEMS, vec![1])]
        {
            let (control, outgoing) = sent(std::iter::repeat_n(1, count));
            drop((control.greeting, control.end, control.outputs));
            let sizes: Vec<_> = all(outgoing).await.0.iter().map(Vec::len).collect();
            assert_eq!(sizes, messages, "{count}");
        }
    }

    #[tokio::test]
    async fn a_message_is_full_at_so_many_bytes() {
        for (first, messages) in [(MAX_BYTES - 1, 1), (MAX_BYTES, 2), (MAX_BYTES + 1, 2)] {
            let (control, outgoing) = sent([first, 1]);
            drop((control.greeting, control.end, control.outputs));
            assert_eq!(all(outgoing).await.0.len(), messages, "{first}");
        }
    }

    #[tokio::test]
    async fn a_message_that_follows_closely_takes_along_what_others_say() {
        let takes_along = async || {
            let (control, mut outgoing) = sent([0]);
            drop(control.greeting);
            outgoing.next().await;
            control.outputs.send(1);
            let another = control.outputs.clone();
            tokio::spawn(async move { another.send(2) });
            outgoing.next().await.unwrap().unwrap() == [1, 2]
        };
        // The test's thread may stand still meanwhile; then it does not follow closely.
        for _ in 0..1000 {
            if takes_along().await {
                return;
            }
        }
        panic!("each goes alone");
    }

    #[tokio::test]
    async fn a_failure_ends_the_call_behind_what_came_before_it() {
        let (control, outgoing) = sent([1, 2_000_000, 3]);
        drop(control.greeting);
        let expected = (vec![vec![1]], Some(tonic::Code::InvalidArgument));
        assert_eq!(all(outgoing).await, expected);
        drop((control.outputs, control.end));
    }

    #[tokio::test]
    async fn without_a_greeting_the_call_ends_with_its_status() {
        let (control, outgoing) = sent([]);
        drop(control.greeting);
        control.end.send(Err(Status::failed_precondition("version"))).unwrap();
        assert_eq!(all(outgoing).await, (vec![], Some(tonic::Code::FailedPrecondition)));
    }
}

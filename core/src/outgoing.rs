//! The response stream of a gRPC call: a greeting, the outputs of partitions packed into messages, the final status.
//!
//! Used by the link and the application API, which implement [`Pack`] for their outputs. Buffers a bounded number of
//! outputs; the rest stays in the channel, bounded by the credit of the peer.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_util::Stream;
use minerva_runtime::tasks::Coalescer;
use tokio::sync::oneshot;
use tonic::Status;

use crate::partition::{OutputReceiver, OutputSender, output_channel};

/// Items in one message. Throughput is flat from 16 to 64 items on.
const MAX_ITEMS: usize = 256;
/// Items received from the channel at once.
const MAX_RECEIVED: usize = 8192;
/// Bytes at which a message takes no more items: far below the limit of a receiver, even if the last item holds a
/// message of 1 MiB.
const MAX_BYTES: usize = 256 << 10;

/// An output of partitions that can be packed into a message of a contract.
pub(crate) trait Pack: Sized + Unpin {
    /// Message of the gRPC contract.
    type Message;
    /// Abilities of the receiver, known with the greeting.
    type Receiver: Copy + Default + Unpin;
    /// Approximate encoded size in bytes.
    fn weight(&self) -> usize;
    /// Packs items into one message.
    fn pack(items: Vec<Self>, receiver: Self::Receiver) -> Self::Message;
    /// Merges items of a backlog that exceeds one message.
    fn coalesce(items: Vec<Self>) -> VecDeque<Self> {
        items.into()
    }
}

/// The response stream; the request half of the call holds the [`OutgoingControl`].
pub(crate) struct Outgoing<T: Pack> {
    /// The first message; `None` once sent.
    greeting: Option<oneshot::Receiver<(T::Message, T::Receiver)>>,
    receiver: T::Receiver,
    ready: OutputReceiver<T>,
    /// Result of the call, sent behind all outputs.
    end: oneshot::Receiver<Result<(), Status>>,
    /// Received from `ready`, not yet in a message; at most [`MAX_RECEIVED`].
    waiting: VecDeque<T>,
    coalescer: Coalescer,
    finished: bool,
}

/// The sending ends for the request half of the call.
pub(crate) struct OutgoingControl<T: Pack> {
    pub(crate) greeting: oneshot::Sender<(T::Message, T::Receiver)>,
    pub(crate) outputs: OutputSender<T>,
    pub(crate) end: oneshot::Sender<Result<(), Status>>,
}

impl<T: Pack> Outgoing<T> {
    pub(crate) fn new() -> (OutgoingControl<T>, Self) {
        let (greeting, greeted) = oneshot::channel();
        let (outputs, ready) = output_channel();
        let (end, ended) = oneshot::channel();
        let outgoing = Self {
            greeting: Some(greeted),
            receiver: T::Receiver::default(),
            ready,
            end: ended,
            waiting: VecDeque::new(),
            coalescer: Coalescer::default(),
            finished: false,
        };
        (OutgoingControl { greeting, outputs, end }, outgoing)
    }

    fn poll_greeting(&mut self, cx: &mut Context<'_>) -> Poll<Option<T::Message>> {
        let Some(greeting) = &mut self.greeting else { return Poll::Ready(None) };
        // Without a greeting the call has failed, and `end` has the status.
        let greeting = ready!(Pin::new(greeting).poll(cx)).ok();
        self.greeting = None;
        Poll::Ready(greeting.map(|(message, receiver)| {
            self.receiver = receiver;
            message
        }))
    }

    /// Receives the ready items; pending while the coalescer delays the message.
    fn fill(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.waiting.is_empty() {
            if !self.ready.is_empty() {
                ready!(self.coalescer.poll_ready(cx));
            }
            let mut items = Vec::new();
            if self.ready.poll_many(cx, &mut items, MAX_RECEIVED).is_ready() {
                self.waiting =
                    if items.len() > MAX_ITEMS { T::coalesce(items) } else { items.into() };
            }
        }
        Poll::Ready(())
    }

    fn next_message(&mut self) -> Option<T::Message> {
        let (mut items, mut bytes) = (Vec::new(), 0);
        while items.len() < MAX_ITEMS
            && bytes < MAX_BYTES
            && let Some(item) = self.waiting.pop_front()
        {
            bytes += item.weight();
            items.push(item);
        }
        (!items.is_empty()).then(|| T::pack(items, self.receiver))
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
            Some(message) => Poll::Ready(Some(Ok(message))),
            None => self.poll_end(cx),
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::StreamExt;

    use super::*;

    /// A test item: the number is the weight.
    impl Pack for usize {
        type Message = Vec<Self>;
        type Receiver = Self;

        fn weight(&self) -> usize {
            *self
        }

        /// Adds the number of the receiver.
        fn pack(items: Vec<Self>, receiver: Self) -> Vec<Self> {
            items.into_iter().map(|item| item + receiver).collect()
        }

        /// Merges a list of ones into their sum.
        fn coalesce(items: Vec<Self>) -> VecDeque<Self> {
            let is_one = items.iter().all(|item| *item == 1);
            if is_one { [items.len()].into() } else { items.into() }
        }
    }

    fn sent(items: impl IntoIterator<Item = usize>) -> (OutgoingControl<usize>, Outgoing<usize>) {
        let (control, outgoing) = Outgoing::new();
        for item in items {
            control.outputs.send(item);
        }
        (control, outgoing)
    }

    /// All messages, and the final code.
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
    async fn the_greeting_is_first_and_the_status_follows_all_outputs_for_the_receiver() {
        let (control, outgoing) = sent([1, 2, 3]);
        control.greeting.send((vec![0], 10)).unwrap();
        control.end.send(Err(Status::unavailable("stopping"))).unwrap();
        let expected = (vec![vec![0], vec![11, 12, 13]], Some(tonic::Code::Unavailable));
        assert_eq!(all(outgoing).await, expected);
    }

    #[tokio::test]
    async fn the_items_of_a_message_are_bounded() {
        for (count, sizes) in [(255, vec![255]), (256, vec![256]), (257, vec![256, 1])] {
            let (control, outgoing) = sent(std::iter::repeat_n(0, count));
            drop((control.greeting, control.end, control.outputs));
            let (messages, _) = all(outgoing).await;
            assert_eq!(messages.iter().map(Vec::len).collect::<Vec<_>>(), sizes);
        }
    }

    #[tokio::test]
    async fn the_buffered_items_are_bounded() {
        for (count, left) in [(MAX_RECEIVED - 1, 0), (MAX_RECEIVED, 0), (MAX_RECEIVED + 1, 1)] {
            let (control, mut outgoing) = sent(std::iter::repeat_n(0, count));
            drop((control.greeting, control.end, control.outputs));
            assert_eq!(outgoing.next().await.map(|first| first.unwrap().len()), Some(MAX_ITEMS));
            assert_eq!(outgoing.waiting.len(), count.min(MAX_RECEIVED) - MAX_ITEMS);
            assert_eq!(std::iter::from_fn(|| outgoing.ready.try_next()).count(), left);
        }
    }

    #[tokio::test]
    async fn a_backlog_beyond_one_message_is_coalesced() {
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
    async fn the_bytes_of_a_message_are_bounded() {
        for (first, messages) in [(MAX_BYTES - 1, 1), (MAX_BYTES, 2), (MAX_BYTES + 1, 2)] {
            let (control, outgoing) = sent([first, 1]);
            drop((control.greeting, control.end, control.outputs));
            assert_eq!(all(outgoing).await.0.len(), messages, "{first}");
        }
    }

    #[tokio::test]
    async fn close_messages_are_coalesced_with_outputs_of_ready_tasks() {
        let is_coalesced = async || {
            let (control, mut outgoing) = sent([0]);
            drop(control.greeting);
            outgoing.next().await;
            control.outputs.send(1);
            let another = control.outputs.clone();
            tokio::spawn(async move { another.send(2) });
            outgoing.next().await.unwrap().unwrap() == [1, 2]
        };
        // A descheduled test thread exceeds the coalescing window; then the attempt is repeated.
        for _ in 0..1000 {
            if is_coalesced().await {
                return;
            }
        }
        panic!("no message was coalesced");
    }

    #[tokio::test]
    async fn without_a_greeting_the_call_ends_with_its_status() {
        let (control, outgoing) = sent([]);
        drop(control.greeting);
        control.end.send(Err(Status::failed_precondition("version"))).unwrap();
        assert_eq!(all(outgoing).await, (vec![], Some(tonic::Code::FailedPrecondition)));
    }
}

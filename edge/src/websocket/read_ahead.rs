//! Reads a socket in large pieces for a reader with a small buffer; holds no buffer while the socket is idle.
//! Used by `websocket.rs`.

use std::cell::RefCell;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::frame_bounds::FrameBounds;

/// Read size in bytes, and so the limit of buffered input.
const PIECE: usize = 16 * 1024;

thread_local! {
    /// Scratch buffer of a worker thread. Bytes beyond the reader's buffer are copied into `ahead`.
    static SCRATCH: RefCell<Box<[u8]>> = RefCell::new(vec![0; PIECE].into());
}

/// A socket and its buffered input.
#[derive(Debug)]
pub(super) struct ReadAhead<S> {
    socket: S,
    ahead: Bytes,
    /// Bytes of the message that is being read.
    unfinished: usize,
    /// Length of a message at which reading pauses.
    limit: usize,
    bounds: FrameBounds,
    /// Whether the message has a long frame, for which the reader has enlarged its buffer. Bytes behind such a frame are
    /// passed to the reader after the frame, so that the buffer is empty at the end of the message.
    is_long: bool,
    /// Whether a message with a long frame is complete.
    was_long: bool,
}

/// Length of a frame whose memory the reader must not keep. One pass has no whole frame that is longer.
const LONG_FRAME: u64 = PIECE as u64;

/// Bytes of a message that are read before the driver permits more.
const STEP: usize = 64 * 1024;

impl<S> ReadAhead<S> {
    /// `early` are bytes that were read from the socket before.
    pub(super) fn new(socket: S, early: Bytes) -> Self {
        let (bounds, is_long, was_long) = (FrameBounds::default(), false, false);
        Self { socket, ahead: early, unfinished: 0, limit: STEP, bounds, is_long, was_long }
    }

    /// Whether the reader holds an empty buffer of the length of a long frame.
    pub(super) fn has_long_buffer(&self) -> bool {
        self.was_long
    }

    /// The reader has a new buffer.
    pub(super) fn on_new_buffer(&mut self) {
        self.was_long = false;
    }

    /// Bytes that the reader has received since the last message.
    pub(super) fn unfinished(&self) -> usize {
        self.unfinished
    }

    /// A message is complete.
    pub(super) fn on_message(&mut self) {
        (self.unfinished, self.limit) = (0, STEP);
        // Behind a short message the reader may have the start of a long frame, which must not be lost with the buffer.
        if self.bounds.is_at_frame_end() {
            self.was_long |= std::mem::take(&mut self.is_long);
        }
    }

    /// A control frame of this length is complete, perhaps in the middle of a message.
    pub(super) fn on_control(&mut self, length: usize) {
        self.unfinished = self.unfinished.saturating_sub(length);
    }

    /// Permits another step of the message.
    pub(super) fn permit_more(&mut self) {
        self.limit = self.unfinished + STEP;
    }

    /// The socket. Bytes read from it directly bypass this reader.
    pub(super) fn socket_mut(&mut self) -> &mut S {
        &mut self.socket
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for ReadAhead<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Self { socket, ahead, unfinished, limit, bounds, is_long, .. } = self.get_mut();
        if *unfinished >= *limit {
            // The driver polls again after `permit_more`.
            return Poll::Pending;
        }
        let most = buffer.remaining().min(if *is_long { bounds.to_next() } else { PIECE });
        let mut pass = |bytes: &[u8]| {
            *is_long |= bounds.advance(bytes) > LONG_FRAME;
            *unfinished += bytes.len();
            buffer.put_slice(bytes);
        };
        if ahead.has_remaining() {
            pass(&ahead.split_to(ahead.len().min(most)));
            if ahead.is_empty() {
                // Frees the memory, which an empty slice would keep.
                *ahead = Bytes::new();
            }
            return Poll::Ready(Ok(()));
        }
        SCRATCH.with_borrow_mut(|scratch| {
            let mut read = ReadBuf::new(scratch);
            ready!(Pin::new(socket).poll_read(cx, &mut read))?;
            let (fits, rest) = read.filled().split_at(read.filled().len().min(most));
            pass(fits);
            *ahead = Bytes::copy_from_slice(rest);
            Poll::Ready(Ok(()))
        })
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for ReadAhead<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

    use super::*;

    /// Reads `sent` in steps of `step` bytes; returns the output and the maximum of buffered bytes.
    async fn read(sent: &[u8], step: usize) -> (Vec<u8>, usize) {
        let (mut far, near) = duplex(4 * PIECE);
        far.write_all(sent).await.unwrap();
        drop(far);
        let (mut near, mut came, mut most) = (ReadAhead::new(near, Bytes::new()), Vec::new(), 0);
        let mut buffer = vec![0; step];
        loop {
            let count = near.read(&mut buffer).await.unwrap();
            if count == 0 {
                return (came, most);
            }
            came.extend_from_slice(&buffer[..count]);
            most = most.max(near.ahead.len());
        }
    }

    #[tokio::test]
    async fn bytes_keep_their_order_for_every_buffer_size() {
        for length in [1, 511, 512, 513, PIECE - 1, PIECE, PIECE + 1, 3 * PIECE] {
            let sent: Vec<u8> = (0..length).map(|at| (at % 251) as u8).collect();
            for step in [1, 512, PIECE, 2 * PIECE] {
                let (came, most) = read(&sent, step).await;
                assert!(came == sent, "{length} bytes in steps of {step}");
                assert_eq!(most, length.min(PIECE).saturating_sub(step), "{length}, {step}");
            }
        }
    }

    #[tokio::test]
    async fn reading_pauses_after_each_step_of_a_message() {
        let (mut far, near) = duplex(4 * STEP);
        far.write_all(&vec![7; 2 * STEP + 1]).await.unwrap();
        let mut near = ReadAhead::new(near, Bytes::new());
        let mut buffer = vec![0; STEP];
        for step in 1..=2 {
            near.read_exact(&mut buffer).await.unwrap();
            assert_eq!(near.unfinished(), step * STEP);
            let mut pending = std::pin::pin!(near.read_u8());
            let poll = std::future::poll_fn(|cx| Poll::Ready(pending.as_mut().poll(cx))).await;
            assert!(poll.is_pending());
            near.permit_more();
        }
        near.read_u8().await.unwrap();
        near.on_control(1);
        assert_eq!(near.unfinished(), 2 * STEP);
        near.on_message();
        assert_eq!(near.unfinished(), 0);
    }

    /// A text frame of this length behind its header.
    fn frame(length: usize) -> Vec<u8> {
        let mut frame = vec![0x81, 127];
        frame.extend((length as u64).to_be_bytes());
        frame.resize(frame.len() + length, 0);
        frame
    }

    #[tokio::test]
    async fn bytes_behind_a_long_frame_are_passed_after_the_frame() {
        let long = LONG_FRAME as usize;
        for (length, is_long) in [(long - 1, false), (long, false), (long + 1, true)] {
            let first = frame(length);
            let early = Bytes::from([&*first, &frame(3)].concat());
            let (_far, near) = duplex(64);
            let (mut near, mut buffer) = (ReadAhead::new(near, early), vec![0; 512]);
            let mut passed = 0;
            while passed < first.len() {
                near.permit_more();
                passed += near.read(&mut buffer).await.unwrap();
            }
            assert_eq!(passed == first.len(), is_long, "{length}");
            assert!(!near.has_long_buffer());
            near.on_message();
            assert_eq!(near.has_long_buffer(), is_long, "{length}");
            near.on_new_buffer();
            assert!(!near.has_long_buffer());
            let rest = first.len() + frame(3).len() - passed;
            near.read_exact(&mut buffer[..rest]).await.unwrap();
        }
    }

    #[tokio::test]
    async fn the_start_of_a_long_frame_behind_a_short_message_is_no_reason_for_a_new_buffer() {
        let long = frame(LONG_FRAME as usize + 1);
        for passed in [1, 2, 10, 11, long.len() - 1] {
            let short = frame(5);
            let early = Bytes::from([&*short, &*long].concat());
            let (_far, near) = duplex(64);
            let (mut near, mut buffer) = (ReadAhead::new(near, early), vec![0; 2 * PIECE]);
            let start = short.len() + passed;
            let mut left = start;
            while left > 0 {
                near.permit_more();
                left -= near.read(&mut buffer[..left]).await.unwrap();
            }
            near.on_message();
            assert!(!near.has_long_buffer(), "{passed} bytes of the long frame would be lost");
            let mut left = short.len() + long.len() - start;
            while left > 0 {
                near.permit_more();
                left -= near.read(&mut buffer[..left]).await.unwrap();
            }
            near.on_message();
            assert!(near.has_long_buffer(), "{passed}");
        }
    }

    #[tokio::test]
    async fn one_pass_has_no_whole_long_frame() {
        let early = Bytes::from([&*frame(5), &*frame(LONG_FRAME as usize + 1)].concat());
        let (_far, near) = duplex(64);
        let mut near = ReadAhead::new(near, early);
        assert_eq!(near.read(&mut vec![0; 4 * PIECE]).await.unwrap(), PIECE);
    }

    #[tokio::test]
    async fn an_empty_buffer_is_freed() {
        let (mut far, near) = duplex(64);
        far.write_all(&[7; 20]).await.unwrap();
        let mut near = ReadAhead::new(near, Bytes::new());
        let mut buffer = [0; 10];
        near.read_exact(&mut buffer).await.unwrap();
        assert_eq!(near.ahead.len(), 10);
        near.read_exact(&mut buffer).await.unwrap();
        assert_eq!(near.ahead.as_ptr(), Bytes::new().as_ptr());
    }

    #[tokio::test]
    async fn two_sockets_of_one_thread_share_no_bytes() {
        let ((mut far_one, one), (mut far_two, two)) = (duplex(64), duplex(64));
        far_one.write_all(b"11111111").await.unwrap();
        far_two.write_all(b"22222222").await.unwrap();
        let (mut one, mut two) =
            (ReadAhead::new(one, Bytes::new()), ReadAhead::new(two, Bytes::new()));
        for _ in 0..2 {
            let (mut of_one, mut of_two) = ([0; 4], [0; 4]);
            one.read_exact(&mut of_one).await.unwrap();
            two.read_exact(&mut of_two).await.unwrap();
            assert_eq!((&of_one, &of_two), (b"1111", b"2222"));
        }
    }
}

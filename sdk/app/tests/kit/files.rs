//! Files over a stream, in both directions.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use minerva_app::files::{FileAssembler, FileEvent, FileHeader, MAX_PART, SendFileError};
use minerva_app::testing::ClientStream;
use minerva_app::{Accepts, Message, SendError};
use tokio::io::{AsyncRead, ReadBuf};
use tokio::task::yield_now;

use crate::stream_to;

fn content(length: usize) -> Vec<u8> {
    (0..length).map(|position| (position * 31 / 7) as u8).collect()
}

/// Receives a file; returns the bytes, the lengths of the parts and the other messages.
async fn receive(client: &ClientStream) -> (Vec<u8>, Vec<usize>, Vec<Message>) {
    let (mut files, mut content) = (FileAssembler::new(u64::MAX), Vec::new());
    let (mut parts, mut others) = (Vec::new(), Vec::new());
    loop {
        match files.on_message(client.recv().await.unwrap()).unwrap() {
            FileEvent::Begun(header) if header.size == 0 => return (content, parts, others),
            FileEvent::Begun(_) => {}
            FileEvent::Part { bytes, received, is_last } => {
                content.extend_from_slice(&bytes);
                parts.push(bytes.len());
                assert_eq!(received, content.len() as u64);
                if is_last {
                    return (content, parts, others);
                }
            }
            FileEvent::GivenUp(reason) => panic!("{reason}"),
            FileEvent::Other(message) => others.push(message),
        }
    }
}

#[tokio::test]
async fn a_file_arrives_in_parts_within_the_limit() {
    for (length, parts) in [
        (0, vec![]),
        (1, vec![1]),
        (MAX_PART - 1, vec![MAX_PART - 1]),
        (MAX_PART, vec![MAX_PART]),
        (MAX_PART + 1, vec![MAX_PART, 1]),
    ] {
        let (_kit, _service, client, stream) = stream_to(Accepts::TextAndBinary).await;
        let (header, bytes) = (FileHeader::new("\u{e9}", length as u64, ""), content(length));
        let mut progress = Vec::new();
        stream.sender().send_file(&header, &bytes[..], |sent| progress.push(sent)).await.unwrap();
        assert_eq!(progress.last().copied().unwrap_or(0), length as u64);
        assert_eq!(receive(&client).await, (bytes, parts, vec![]));
    }
}

#[tokio::test]
async fn at_most_128_kib_wait_for_the_client_and_text_goes_between() {
    let (kit, _service, client, stream) = stream_to(Accepts::TextAndBinary).await;
    let (length, bytes) = (5 << 20, content(5 << 20));
    let (progress, seen) = tokio::sync::watch::channel(0);
    let (sender, copy) = (stream.sender(), bytes.clone());
    let sending = tokio::spawn(async move {
        let header = FileHeader::new("big", length as u64, "application/octet-stream");
        sender.send_file(&header, &copy[..], |sent| progress.send_modify(|now| *now = sent)).await
    });
    for _ in 0..1000 {
        yield_now().await;
    }
    let waiting = *seen.borrow();
    assert!((1..=128 << 10).contains(&waiting), "{waiting} bytes in flight");
    stream.try_send("small").unwrap();
    kit.lose_call().await;
    let (received, _, others) = receive(&client).await;
    assert_eq!((received == bytes, others), (true, vec!["small".into()]));
    sending.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_client_of_version_2_gets_no_part_of_a_file() {
    let (_kit, _service, client, stream) = stream_to(Accepts::AsciiText).await;
    let header = FileHeader::new("a", 1, "");
    let error = stream.sender().send_file(&header, &b"x"[..], |_| {}).await.unwrap_err();
    assert!(matches!(error, SendFileError::Send(SendError::Unsupported { position: None })));
    stream.durable().await.unwrap();
    assert_eq!(client.try_recv(), None);
}

/// Fails, or never returns, behind the first part.
struct Broken {
    is_pending: bool,
    left: usize,
}

impl AsyncRead for Broken {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let length = self.left.min(buffer.remaining());
        if length == 0 {
            let error = || Poll::Ready(Err(io::Error::other("secret")));
            return if self.is_pending { Poll::Pending } else { error() };
        }
        self.left -= length;
        buffer.put_slice(&vec![1; length]);
        Poll::Ready(Ok(()))
    }
}

#[tokio::test]
async fn a_file_without_an_end_is_given_up() {
    for (is_pending, reason) in [(false, "the file cannot be read"), (true, "cancelled")] {
        let (_kit, _service, client, stream) = stream_to(Accepts::TextAndBinary).await;
        let sender = stream.sender();
        let sending = tokio::spawn(async move {
            let reader = Broken { is_pending, left: MAX_PART + 5 };
            sender.send_file(&FileHeader::new("a", 1 << 20, ""), reader, |_| {}).await
        });
        let mut files = FileAssembler::new(u64::MAX);
        for is_part in [false, true] {
            let event = files.on_message(client.recv().await.unwrap()).unwrap();
            assert_eq!(matches!(event, FileEvent::Part { .. }), is_part);
        }
        sending.abort();
        let event = files.on_message(client.recv().await.unwrap()).unwrap();
        assert_eq!(event, FileEvent::GivenUp(reason.to_owned()));
    }
}

#[tokio::test]
async fn a_file_of_the_client_is_assembled() {
    let (_kit, _service, client, mut stream) = stream_to(Accepts::TextAndBinary).await;
    client.send(r#"{"type":"image/png","file":"cat.png","size":3}"#).await;
    let mut files = FileAssembler::new(3);
    let not_first = files.on_message(stream.recv().await.unwrap());
    assert!(matches!(not_first, Ok(FileEvent::Other(_))), "`file` is the first key");
    client.send(r#"{"file":"cat.png","size":3,"type":"image/png"}"#).await;
    let begun = files.on_message(stream.recv().await.unwrap());
    assert_eq!(begun, Ok(FileEvent::Begun(FileHeader::new("cat.png", 3, "image/png"))));
    client.send(vec![1, 2, 3]).await;
    let part = files.on_message(stream.recv().await.unwrap());
    let bytes = vec![1, 2, 3].into();
    assert_eq!(part, Ok(FileEvent::Part { bytes, received: 3, is_last: true }));
}

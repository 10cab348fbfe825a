//! Sending a file: reads parts and sends them with back-pressure. The messages are in `header`.

use minerva_proto::Message;
use tokio::io::{AsyncRead, AsyncReadExt as _};

use super::MAX_PART;
use super::header::FileHeader;
use crate::error::SendError;
use crate::stream::{Sender, to_json};

/// Bytes that are queued at most before the core reports the room in the outbox.
const UNCONFIRMED: u64 = 64 << 10;
/// Outbox of a stream with a file, in bytes and messages. A stream is paused from half of it on: with the unconfirmed
/// bytes 128 KiB in flight.
const OUTBOX: (u32, u32) = (128 << 10, 1000);
/// Reasons for the client. Fixed, because the text of an error may be confidential.
const FAILED: &str = "the file cannot be read";
const CANCELLED: &str = "cancelled";

/// A file was not sent to its end. See the [module](super) for an example.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SendFileError {
    /// A message was not sent.
    #[error(transparent)]
    Send(#[from] SendError),
    /// The header has no JSON form.
    #[error(transparent)]
    Header(#[from] serde_json::Error),
    /// The reader failed, or ended before the announced length.
    #[error("the file cannot be read: {0}")]
    Read(#[from] std::io::Error),
}

impl Sender {
    /// Sends a file of `header.size` bytes from a reader, and calls `progress` with the bytes queued so far after each part.
    /// See the [module](crate::files) for an example.
    ///
    /// Waits while 128 KiB wait for the client; the outbox of the stream is set to that. Text messages that
    /// are sent meanwhile go between the parts. Another file, or any other binary message, must not be sent meanwhile. If the reader
    /// fails, or the future is dropped, the client receives the end of the file in place of the rest.
    ///
    /// # Errors
    /// If the client accepts text only ([`SendError::Unsupported`], before anything is sent), the reader fails or ends too
    /// early, or the stream is over.
    pub async fn send_file(
        &self,
        header: &FileHeader,
        mut reader: impl AsyncRead + Unpin,
        mut progress: impl FnMut(u64),
    ) -> Result<(), SendFileError> {
        self.checked(Message::from(&b""[..]))?;
        self.set_outbox(OUTBOX.0, OUTBOX.1);
        self.send(to_json(header)?).await?;
        let mut end = EndOnDrop { sender: self, header, reason: Some(CANCELLED) };
        // The limit of the outbox is in force behind the header.
        self.durable().await?;
        let mut sent = 0;
        while sent < header.size {
            let length = usize::try_from(header.size - sent).unwrap_or(MAX_PART).min(MAX_PART);
            let mut part = vec![0; length];
            if let Err(error) = reader.read_exact(&mut part).await {
                end.reason = Some(FAILED);
                return Err(error.into());
            }
            self.send(part).await?;
            sent += length as u64;
            progress(sent);
            if sent.is_multiple_of(UNCONFIRMED) {
                self.durable().await?;
            }
        }
        end.reason = None;
        Ok(())
    }
}

/// Gives a file up when dropped with a reason.
struct EndOnDrop<'a> {
    sender: &'a Sender,
    header: &'a FileHeader,
    reason: Option<&'static str>,
}

impl Drop for EndOnDrop<'_> {
    fn drop(&mut self) {
        let Some(reason) = self.reason else { return };
        if let Ok(text) = to_json(&self.header.given_up(reason)) {
            // Fails if the stream is over. The outbox has room beyond the pause.
            let _ = self.sender.try_send(text);
        }
    }
}

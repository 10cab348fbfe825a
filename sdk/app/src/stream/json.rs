//! JSON messages in both directions: encoding to the bytes that every client accepts, and decoding. Optional.

use minerva_proto::is_message_allowed;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{AppStream, Receiver, Sender};
use crate::error::SendError;

/// A value was not sent as JSON. See [`AppStream::send_json`] for an example.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JsonError {
    /// The value has no JSON form.
    #[error("the value has no JSON form: {0}")]
    Encode(#[from] serde_json::Error),
    /// The message was not sent.
    #[error(transparent)]
    Send(#[from] SendError),
}

impl Sender {
    /// Sends a value as [`Self::send`] does, as JSON in ASCII, which clients of every version accept. See
    /// [`AppStream::send_json`] for an example.
    ///
    /// # Errors
    /// Those of [`Self::send`], and if the value has no JSON form.
    pub async fn send_json<T: Serialize + ?Sized>(&self, value: &T) -> Result<(), JsonError> {
        let message = to_json(value)?;
        Ok(self.send(message).await?)
    }
}

impl Receiver {
    /// Waits for the next message as [`Self::recv`] does, and decodes it. A message that is not the JSON of a `T` is an
    /// error, and acknowledged like every other message. See [`AppStream::send_json`] for an example.
    pub async fn recv_json<T: DeserializeOwned>(&mut self) -> Option<Result<T, serde_json::Error>> {
        let message = self.recv().await?;
        Some(serde_json::from_slice(message.as_bytes()))
    }
}

impl AppStream {
    /// Sends a value as JSON. See [`Sender::send_json`].
    ///
    /// ```no_run
    /// # async fn example(mut stream: minerva_app::AppStream) -> Result<(), minerva_app::JsonError> {
    /// use std::collections::BTreeMap;
    ///
    /// while let Some(request) = stream.recv_json::<BTreeMap<String, f64>>().await {
    ///     match request {
    ///         Ok(prices) => stream.send_json(&prices.values().sum::<f64>()).await?,
    ///         Err(_) => stream.send_json("send an object of numbers").await?,
    ///     }
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Those of [`Sender::send_json`].
    pub async fn send_json<T: Serialize + ?Sized>(&self, value: &T) -> Result<(), JsonError> {
        self.sender.send_json(value).await
    }

    /// Waits for the next message and decodes it. See [`Receiver::recv_json`]; [`Self::send_json`] has an example.
    pub async fn recv_json<T: DeserializeOwned>(&mut self) -> Option<Result<T, serde_json::Error>> {
        self.receiver.recv_json().await
    }
}

/// Encodes a value with bytes 0x20-0x7E only: other characters occur in strings, where JSON has an escape for each.
pub(crate) fn to_json<T: Serialize + ?Sized>(value: &T) -> Result<String, serde_json::Error> {
    let text = serde_json::to_string(value)?;
    if is_message_allowed(text.as_bytes()) {
        return Ok(text);
    }
    let mut ascii = String::with_capacity(text.len() * 2);
    let mut units = [0; 2];
    for character in text.chars() {
        if matches!(character, ' '..='~') {
            ascii.push(character);
        } else {
            for unit in character.encode_utf16(&mut units) {
                ascii.push_str(&format!("\\u{unit:04x}"));
            }
        }
    }
    Ok(ascii)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_text_is_encoded_in_ascii_and_decoded_again() {
        for text in ["", "plain \"quoted\" \\", "é ü 語", "🦀", "\u{7f}\u{80}\n\t\u{0}", "\u{2028}"]
        {
            let json = to_json(&[text]).unwrap();
            assert!(json.bytes().all(|byte| matches!(byte, 0x20..=0x7E)), "{json}");
            assert_eq!(serde_json::from_str::<Vec<String>>(&json).unwrap(), [text]);
        }
        assert_eq!(to_json("é🦀").unwrap(), r#""\u00e9\ud83e\udd80""#);
    }
}

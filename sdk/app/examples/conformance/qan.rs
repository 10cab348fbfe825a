//! The commands of a stream with QAN.

use std::future::pending;
use std::time::Duration;

use minerva_app::Message;
use minerva_app::qan::{Handler, HandlerError, Peer, QuestionError};
use tokio::time::{sleep, timeout};

/// Time until `askcancel:` cancels the question.
const CANCEL_AFTER: Duration = Duration::from_millis(50);

/// Answers questions as the vectors expect. A notification runs the same command and drops the answer.
pub(super) struct Application;

impl Handler for Application {
    async fn question(&self, peer: &Peer, body: Message) -> Result<Message, HandlerError> {
        let text = body.as_text().unwrap_or_default();
        let (command, argument) = text.split_once(':').unwrap_or((text, ""));
        let argument = argument.to_owned();
        match command {
            "echo" => Ok(argument.into()),
            "known" => Err(HandlerError::Known(argument.into())),
            "boom" => Err(std::io::Error::other("asked to fail").into()),
            "hang" => pending().await,
            "later" => {
                let (milliseconds, answer) = argument.split_once(':').unwrap_or((&argument, ""));
                sleep(Duration::from_millis(milliseconds.parse()?)).await;
                Ok(answer.to_owned().into())
            }
            "notify" => {
                peer.notify(argument).await?;
                Ok("notified".into())
            }
            "ask" => {
                tokio::spawn(ask(peer.clone(), argument, None));
                Ok("asked".into())
            }
            "askcancel" => {
                tokio::spawn(ask(peer.clone(), argument, Some(CANCEL_AFTER)));
                Ok("asked".into())
            }
            _ => Ok("".into()),
        }
    }

    async fn notification(&self, peer: &Peer, body: Message) {
        if let Err(HandlerError::Unknown(error)) = self.question(peer, body).await {
            tracing::warn!(stream = %peer.sender().id(), %error, "a notification failed");
        }
    }
}

/// Sends a question and reports the outcome as a notification.
async fn ask(peer: Peer, body: String, cancel_after: Option<Duration>) {
    let answer = match cancel_after {
        Some(cancel_after) => timeout(cancel_after, peer.ask(body)).await.ok(),
        None => Some(peer.ask(body).await),
    };
    let (outcome, body) = match answer {
        Some(Ok(body)) => ("okay", body),
        Some(Err(QuestionError::Known(body))) => ("known", body),
        Some(Err(QuestionError::Unknown(body))) => ("unknown", body),
        Some(Err(_)) => return,
        None => ("cancelled", Message::from("")),
    };
    // Fails if the stream is over by now.
    let _ = peer.notify(format!("{outcome}:{}", body.as_text().unwrap_or_default())).await;
}

//! Questions and answers in both directions with QAN. A client asks `MS:TEXT` and receives the same text after MS
//! milliseconds; the program asks each client one question after the other and logs each answer.
//!
//! After a death of this program its clients receive the error `interrupted` for their open questions, and nothing else
//! changes for them. `minerva-apps qan` kills the program repeatedly.

use std::process::id;
use std::time::Duration;

use clap::Parser;
use minerva_app::qan::{Handler, HandlerError, Peer, Qan, QuestionError};
use minerva_app::{AppStream, Message, Service};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::sleep;

/// Longest delay of an answer.
const MAX_DELAY: Duration = Duration::from_secs(60);
/// Pause between two questions to a client.
const PAUSE: Duration = Duration::from_millis(20);

/// Answers questions and asks some.
#[derive(Parser)]
struct Config {
    /// Addresses of the cores' application API, separated by commas.
    #[arg(
        long,
        env = "MINERVA_API",
        default_value = "http://127.0.0.1:7400",
        value_name = "ADDRS"
    )]
    api: String,
    /// Service to register as; `default` is the service of the path /_minerva/.
    #[arg(long, env = "MINERVA_SERVICE", default_value = "default", value_name = "NAME")]
    service: String,
    /// A constant id of this instance, such as the name of a host or pod. The streams then
    /// return at once after a restart.
    #[arg(long, env = "MINERVA_INSTANCE", value_name = "ID")]
    instance: Option<String>,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    let config = Config::parse();
    let mut terminate = signal(SignalKind::terminate())?;
    let mut service = Service::connect(&config.api).name(&config.service);
    if let Some(instance) = config.instance {
        service = service.instance_id(instance);
    }
    let service = service.start().await?;
    println!("questions: serving `{}`", config.service);
    let handle = service.handle();
    tokio::spawn(async move {
        terminate.recv().await;
        handle.stop().await;
    });
    service.run(serve).await;
    Ok(())
}

async fn serve(stream: AppStream) -> anyhow::Result<()> {
    let stream_hash = stream.id().short_hash().to_string();
    let qan = Qan::new(stream);
    let asking = tokio::spawn(ask(qan.peer(), stream_hash));
    qan.serve(Delayed).await;
    asking.abort();
    Ok(())
}

/// Asks until the stream ends. Each question is different, also from those of an earlier process.
async fn ask(peer: Peer, stream: String) -> Result<(), QuestionError> {
    for number in 1.. {
        let question = format!("{} {stream} {number}", id());
        let answer = peer.ask(question.as_str()).await?;
        let is_right = answer.as_text() == Some(question.as_str());
        println!("questions: {} {question}", if is_right { "answered" } else { "wrong answer to" });
        sleep(PAUSE).await;
    }
    Ok(())
}

struct Delayed;

impl Handler for Delayed {
    async fn question(&self, _peer: &Peer, body: Message) -> Result<Message, HandlerError> {
        let Some((delay, text)) = body.as_text().and_then(|text| text.split_once(':')) else {
            return Err(HandlerError::Known("ask MS:TEXT".into()));
        };
        sleep(Duration::from_millis(delay.parse()?).min(MAX_DELAY)).await;
        Ok(text.into())
    }
}

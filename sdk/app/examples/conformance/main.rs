//! The application of the conformance vectors: each message of a client is a command. `tests/conformance`
//! describes the commands. The vectors were recorded with the same application on the original server.

mod plain;
mod qan;

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use clap::Parser;
use minerva_app::{AppStream, Ended, Service, StreamId};

/// Most streams whose end is remembered for `fate:`.
const MAX_FATES: usize = 100_000;

/// The application of the conformance vectors.
#[derive(Parser)]
struct Config {
    /// Addresses of the cores' application API, separated by commas. A host name may resolve to several
    /// cores.
    #[arg(long, env = "MINERVA_API", default_value = "127.0.0.1:7400", value_name = "ADDRS")]
    api: String,
    /// Service to register as; `default` is the service of the path /_minerva/.
    #[arg(long, default_value = "default", value_name = "NAME")]
    service: String,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    let config = Config::parse();
    let service = Service::connect(&config.api).name(&config.service).start().await?;
    println!("conformance: serving `{}` of {}", config.service, config.api);
    let fates = Arc::new(Fates::default());
    service.run(move |stream| serve(stream, Arc::clone(&fates))).await;
    Ok(())
}

/// Serves one stream according to the prefix of the id.
async fn serve(stream: AppStream, fates: Arc<Fates>) -> anyhow::Result<()> {
    let id = stream.id().clone();
    fates.began(&id);
    let kind = id.as_str().split('-').next().unwrap_or_default();
    if !stream.is_resumed() {
        match kind {
            "greet" => stream.send("welcome").await?,
            "startreset" => {
                stream.send("a string before the reset").await?;
                stream.reset("reset in streamStarted")?;
            }
            "startraise" => stream.reset_as("streamStarted raised uncaught exception", false)?,
            _ => {}
        }
    }
    let ended = match kind {
        "qan" => minerva_app::qan::Qan::new(stream).serve(qan::Application).await,
        _ => plain::serve(stream, &fates).await?,
    };
    if let Some(ended) = ended {
        fates.ended(&id, ended);
    }
    Ok(())
}

/// The ends of streams.
#[derive(Default)]
struct Fates {
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    /// `None` while the stream lives. At most [`MAX_FATES`].
    fates: HashMap<StreamId, Option<Ended>>,
    /// The ids by age.
    order: VecDeque<StreamId>,
}

impl Fates {
    fn began(&self, id: &StreamId) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.fates.insert(id.clone(), None).is_none() {
            known.order.push_back(id.clone());
        }
        if known.order.len() > MAX_FATES
            && let Some(oldest) = known.order.pop_front()
        {
            known.fates.remove(&oldest);
        }
    }

    fn ended(&self, id: &StreamId, ended: Ended) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(fate) = known.fates.get_mut(id) {
            *fate = Some(ended);
        }
    }

    /// Returns `unknown`, `alive` or `REASON|LEVEL`.
    fn of(&self, id: &str) -> String {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let fate = StreamId::parse(id).ok().and_then(|id| known.fates.get(&id));
        match fate {
            None => "unknown".to_owned(),
            Some(None) => "alive".to_owned(),
            Some(Some(ended)) => format!("{}|{}", ended.reason, u8::from(ended.application_level)),
        }
    }
}

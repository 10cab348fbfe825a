//! Plays exchanges recorded from the original server against Minerva and reports mismatches.
//!
//! Every vector is played on the face of the recording; vectors of the socket face are also played over a
//! WebSocket. `differences.toml` lists the deliberate differences.

mod clock;
mod connection;
mod differences;
mod face;
mod http;
mod player;
mod programs;
mod report;
mod text;
mod vectors;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Parser;
use futures_util::StreamExt as _;
use futures_util::stream;

use crate::differences::Differences;
use crate::face::{Face, faces};
use crate::programs::{Programs, beside_this};
use crate::report::Report;
use crate::vectors::{Class, Vector};

/// Plays the recorded exchanges of the original server against Minerva.
///
/// Without --server, starts `minerva` and the example application `conformance`.
#[derive(Debug, Parser)]
struct Config {
    /// Address of a running server, with the application `conformance` registered as its service.
    #[arg(long, conflicts_with_all = ["minerva", "app"])]
    server: Option<SocketAddr>,
    /// The program `minerva` [default: beside this program].
    #[arg(long)]
    minerva: Option<PathBuf>,
    /// The example application `conformance` [default: beside this program].
    #[arg(long)]
    app: Option<PathBuf>,
    /// File of vectors [default: built in].
    #[arg(long)]
    vectors: Option<PathBuf>,
    /// File of deliberate differences [default: built in].
    #[arg(long)]
    differences: Option<PathBuf>,
    /// Only vectors of these classes.
    #[arg(long, value_delimiter = ',')]
    class: Vec<Class>,
    /// Only these faces.
    #[arg(long, value_delimiter = ',')]
    face: Vec<Face>,
    /// Only vectors with this text in the name.
    #[arg(long, default_value = "")]
    name: String,
    /// Number of vectors played concurrently.
    #[arg(short = 'j', long, default_value_t = 16)]
    at_once: usize,
    /// Print every vector, not only failures.
    #[arg(short, long)]
    verbose: bool,
}

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let config = Config::parse();
    let vectors = config.vectors()?;
    let differences = config.differences(&vectors)?;
    let mut programs = config.start().await?;
    let server = match (&programs, config.server) {
        (Some(programs), _) => programs.listen(),
        (None, Some(server)) => server,
        (None, None) => anyhow::bail!("no server"),
    };
    let mut report = Report::default();
    let check_programs = || programs.as_mut().map_or(Ok(()), Programs::check);
    if let Err(error) =
        run(&config, &vectors, &differences, server, &mut report, check_programs).await
    {
        report.fail(error);
    }
    Ok(if report.finish() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Plays all selected vectors. Fails if a program under test ends.
async fn run(
    config: &Config,
    vectors: &[Vector],
    differences: &Differences,
    server: SocketAddr,
    report: &mut Report,
    mut check_programs: impl FnMut() -> Result<(), String>,
) -> Result<(), String> {
    let mut chosen = Vec::new();
    for vector in vectors.iter().filter(|vector| config.wants(vector)) {
        for (face, left_out) in faces(vector) {
            match left_out {
                _ if !config.face.is_empty() && !config.face.contains(&face) => {}
                Some(reason) => report.leave_out(reason),
                None => chosen.push((vector, face)),
            }
        }
    }
    let mut playbacks =
        stream::iter(chosen)
            .map(|(vector, face)| async move {
                (vector, face, player::play(vector, face, server).await)
            })
            .buffer_unordered(config.at_once.max(1));
    while let Some((vector, face, playback)) = playbacks.next().await {
        let key = (vector.name.as_str(), vector.class, face);
        report.add(key, differences, &playback, config.verbose);
        check_programs()?;
    }
    Ok(())
}

impl Config {
    fn wants(&self, vector: &Vector) -> bool {
        let class = self.class.is_empty() || self.class.contains(&vector.class);
        class && vector.name.contains(&self.name)
    }

    fn vectors(&self) -> anyhow::Result<Vec<Vector>> {
        let vectors = match &self.vectors {
            Some(path) => vectors::parse(&read(path)?),
            None => vectors::built_in(),
        };
        vectors.context("cannot read the vectors")
    }

    fn differences(&self, vectors: &[Vector]) -> anyhow::Result<Differences> {
        let text = self.differences.as_deref().map(read).transpose()?;
        Ok(Differences::parse(text.as_deref().unwrap_or(differences::LISTED), vectors)?)
    }

    async fn start(&self) -> anyhow::Result<Option<Programs>> {
        if self.server.is_some() {
            return Ok(None);
        }
        let path = |given: &Option<PathBuf>, built: &str| match given {
            Some(path) => Ok(path.clone()),
            None => beside_this(built),
        };
        let minerva = path(&self.minerva, "minerva")?;
        let app = path(&self.app, "examples/conformance")?;
        Programs::start(&minerva, &app).await.map(Some)
    }
}

fn read(path: &Path) -> anyhow::Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("cannot read {path:?}"))
}

//! Compression of wire version 3: CPU time per byte and ratio for chat messages, tokens of a language model, a picture.
//!
//! Needs no processes. The figures decide on the library and the level: docs/rationales.md.

use anyhow::ensure;
use bytes::{Bytes, BytesMut};
use minerva_faults::random::Random;
use minerva_proto::v3::deflate::{Deflater, Inflater};
use minerva_proto::v3::{Frame, MAX_MESSAGE, frame_len};
use rustix::time::{ClockId, clock_gettime};

/// Compression of runs.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Levels, the fastest first; the first one has the bars.
    #[arg(long, value_delimiter = ',', default_value = "1,6")]
    levels: Vec<u32>,
    /// Plain bytes of each run.
    #[arg(long, value_delimiter = ',', default_value = "8192,65536")]
    runs: Vec<usize>,
    /// Repetitions; the fastest one counts.
    #[arg(long, default_value_t = 5)]
    repetitions: usize,
}

/// Plain bytes of a case.
const TOTAL: usize = 4 << 20;
/// Bar for JSON at the first level: CPU time per plain byte, in nanoseconds.
const MAX_COST: f64 = 15.0;
/// Bar for JSON at the first level: compressed bytes by plain bytes.
const MAX_RATIO: f64 = 0.4;
/// The frequent words first.
const WORDS: &str = "the of and to in is that for it was on are as with they be at one have this from or had by not word but some can \
    out other were all there when up use your how said an each she which their time if will way about many then them \
    write would like so these her long make thing see him two has look more day could go come did number sound no \
    most people my over know water than call first who may down side been now find any new work part take get place";

/// The content of the messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Content {
    Chat,
    Tokens,
    Picture,
}

/// Cost and effect of one case.
#[derive(Debug, Clone, Copy)]
struct Figures {
    deflate_ns: f64,
    inflate_ns: f64,
    ratio: f64,
}

/// Prints a line for each content, run and level. False if a bar was not met.
pub(crate) fn measure(options: &Options) -> anyhow::Result<bool> {
    let mut met = true;
    println!("content   run     level  deflate ns/B  inflate ns/B  ratio");
    for content in [Content::Chat, Content::Tokens, Content::Picture] {
        for &run in &options.runs {
            let runs = runs_of(content, run);
            for (index, &level) in options.levels.iter().enumerate() {
                let Figures { deflate_ns, inflate_ns, ratio } =
                    fastest(&runs, level, options.repetitions)?;
                println!(
                    "{:9} {run:<7} {level:<6} {deflate_ns:<13.2} {inflate_ns:<13.2} {ratio:.3}",
                    format!("{content:?}").to_lowercase(),
                );
                let has_bars = index == 0 && content != Content::Picture;
                met &= !has_bars || (deflate_ns <= MAX_COST && ratio <= MAX_RATIO);
            }
        }
    }
    println!("bars for JSON at the first level: {MAX_COST} ns/B, ratio {MAX_RATIO}");
    Ok(met)
}

fn fastest(runs: &[BytesMut], level: u32, repetitions: usize) -> anyhow::Result<Figures> {
    let mut fastest = once(runs, level)?;
    for _ in 1..repetitions {
        let figures = once(runs, level)?;
        fastest.deflate_ns = fastest.deflate_ns.min(figures.deflate_ns);
        fastest.inflate_ns = fastest.inflate_ns.min(figures.inflate_ns);
    }
    Ok(fastest)
}

fn once(runs: &[BytesMut], level: u32) -> anyhow::Result<Figures> {
    let (mut deflater, mut inflater) = (Deflater::with_level(level), Inflater::new());
    let total: usize = runs.iter().map(BytesMut::len).sum();
    let start = cpu_ns();
    let bodies: Vec<Option<Bytes>> = runs.iter().map(|run| deflater.deflate(run)).collect();
    let deflate_ns = (cpu_ns() - start) / total as f64;
    let sent =
        |(body, run): (&Option<Bytes>, &BytesMut)| body.as_ref().map_or(run.len(), Bytes::len);
    let compressed: usize = bodies.iter().zip(runs).map(sent).sum();
    let (start, mut inflated) = (cpu_ns(), 0);
    for body in bodies.iter().flatten() {
        let mut run = inflater.inflate(body, MAX_MESSAGE)?;
        while let Some(frame) = run.next_frame()? {
            inflated += frame_len(frame.body.len());
        }
    }
    let elapsed = cpu_ns() - start;
    let inflate_ns = if inflated == 0 { 0.0 } else { elapsed / inflated as f64 };
    let expected: usize =
        bodies.iter().zip(runs).filter(|(body, _)| body.is_some()).map(|(_, run)| run.len()).sum();
    ensure!(inflated == expected, "{inflated} bytes were inflated instead of {expected}");
    Ok(Figures { deflate_ns, inflate_ns, ratio: compressed as f64 / total as f64 })
}

/// CPU time of this thread.
fn cpu_ns() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 * 1e9 + time.tv_nsec as f64
}

/// Runs of about the same length, the same ones in each process.
fn runs_of(content: Content, length: usize) -> Vec<BytesMut> {
    let mut random = Random::new(1);
    let words: Vec<&str> = WORDS.split_whitespace().collect();
    let mut run = || {
        let mut plain = BytesMut::new();
        while plain.len() < length {
            message(content, &words, &mut random).encode(&mut plain);
        }
        plain
    };
    (0..TOTAL / length).map(|_| run()).collect()
}

fn message(content: Content, words: &[&str], random: &mut Random) -> Frame {
    let mut word = || words[below(random, words.len()).min(below(random, words.len()))];
    match content {
        Content::Tokens => {
            let text = word();
            Frame::Text(format!(r#"{{"type":"delta","index":0,"text":" {text}"}}"#).into())
        }
        Content::Chat => {
            let text: Vec<&str> = (0..12).map(|_| word()).collect();
            let name = ["Ann", "Bob", "Carla", "Dmitri", "Eve"][below(random, 5)];
            let (text, at, id) = (text.join(" "), below(random, 1 << 30), random.bits() as u32);
            let json = format!(
                r#"{{"t":"said","room":"lobby","name":"{name}","text":"{text}","at":17329{at:08},"id":"{id:08x}"}}"#
            );
            Frame::Text(json.into())
        }
        Content::Picture => {
            Frame::Binary((0..8_000).map(|_| random.bits() as u8).collect::<Vec<_>>().into())
        }
    }
}

/// A number below `bound`.
fn below(random: &mut Random, bound: usize) -> usize {
    random.between(0, bound as u64 - 1) as usize
}

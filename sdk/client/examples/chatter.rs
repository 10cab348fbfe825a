//! Talks to the demo chat from a terminal, or to any service: each line typed is sent, each message
//! received is printed.
//!
//!     cargo run -p minerva-client --example chatter -- 127.0.0.1:8080 websocket,http-stream,long-poll default
//!
//! The addresses (several with commas), the transports by preference, the service, and for TLS the word `tls` or
//! a PEM file with the authorities to trust.
//!
//! The reason for a missing connection appears on stderr. `/cut` drops the transport, `/switch KIND` moves to another, `/counters` prints the counters.

use std::error::Error;
use std::process::ExitCode;

use minerva_client::{Config, Ended, EndedBy, Message, Stream, Tls, TransportKind};
use tokio::io::{AsyncBufReadExt, BufReader, Lines, Stdin};

const USAGE: &str = "usage: chatter [ADDRESS,… [TRANSPORT,… [SERVICE [tls|FILE]]]]";

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let config = match read(std::env::args().skip(1)) {
        Ok(config) => config,
        Err(error) => {
            eprintln!("{error}\n{USAGE}");
            return ExitCode::from(64);
        }
    };
    match run(config).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// Reads the arguments.
fn read(mut args: impl Iterator<Item = String>) -> Result<Config, Box<dyn Error>> {
    let address = args.next().unwrap_or_else(|| "127.0.0.1:8080".into());
    let kinds = args.next().unwrap_or_else(|| "tcp".into());
    let mut kinds = kinds.split(',').map(str::parse::<TransportKind>);
    let first = kinds.next().unwrap_or(Ok(TransportKind::Tcp))?;
    let mut config = Config::new(address, first);
    config.fallbacks = kinds.collect::<Result<_, _>>()?;
    if let Some(service) = args.next() {
        config.service = service.parse().map_err(|error| format!("service {service}: {error}"))?;
    }
    config.tls = match args.next().as_deref() {
        None => None,
        Some("tls") => Some(Tls::system()?),
        Some(file) => {
            let authorities = std::fs::read(file);
            let authorities = authorities.map_err(|error| format!("file {file}: {error}"))?;
            Some(Tls::trusting(&authorities)?)
        }
    };
    Ok(config)
}

async fn run(config: Config) -> Result<(), Box<dyn Error>> {
    let stream = Stream::connect(config)?;
    tokio::select! {
        outcome = print_received(&stream) => outcome,
        outcome = send_typed(&stream, BufReader::new(tokio::io::stdin()).lines()) => outcome,
        ended = print_problems(&stream) => match ended {},
    }
}

/// Prints why there is no connection, at each change.
async fn print_problems(stream: &Stream) -> std::convert::Infallible {
    let mut known = stream.problem();
    while let Ok(problem) = stream.problem_changed(known.as_ref()).await {
        match &problem {
            Some(problem) => eprintln!("not connected: {problem}"),
            None => eprintln!("connected"),
        }
        known = problem;
    }
    std::future::pending().await
}

async fn print_received(stream: &Stream) -> Result<(), Box<dyn Error>> {
    while let Some(message) = stream.recv().await {
        match message {
            Message::Text(text) => println!("{text}"),
            Message::Binary(bytes) => println!("({} bytes)", bytes.len()),
        }
    }
    end_of(stream).await
}

/// Waits for the end, which is an error unless the server has confirmed the reset of this program.
async fn end_of(stream: &Stream) -> Result<(), Box<dyn Error>> {
    match stream.closed().await {
        Ended { by: EndedBy::Client, application_level: true, .. } => Ok(()),
        ended => Err(ended.into()),
    }
}

async fn send_typed(
    stream: &Stream,
    mut lines: Lines<BufReader<Stdin>>,
) -> Result<(), Box<dyn Error>> {
    while let Some(line) = lines.next_line().await? {
        match line.split_once(' ') {
            _ if line == "/cut" => stream.cut(),
            _ if line == "/counters" => println!("{:?}", stream.counters()),
            Some(("/switch", kind)) => stream.switch(kind.parse()?),
            _ => drop(stream.queue(line).await?),
        }
    }
    stream.flush().await?;
    stream.reset("bye");
    end_of(stream).await
}

//! Multiplexed exchanges: one HTTP request that carries several HTTP transports, of several streams. Browsers open six
//! HTTP/1.1 connections per host, so the tabs of a site share one request. Each part of the body is served as a request
//! of its own; the response interleaves their responses. Called by `http.rs`.
//!
//! The body is a line `stream` or `poll`, then the parts: a line `CHANNEL LENGTH SERVICE` (SERVICE is optional) and
//! LENGTH bytes. A part that is refused leaves the others. The response has lines `CHANNEL LENGTH`, each followed by
//! LENGTH bytes, and one line `CHANNEL end STATUS SECONDS` per channel. A `poll` ends shortly after its first channel, with
//! all responses that have begun by then; the other channels have no such line.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use http::header::RETRY_AFTER;
use http::{HeaderMap, Response, StatusCode};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use minerva_proto::v3::{self, Refusal};
use minerva_proto::{ServiceName, ServiceNameError};
use tokio::sync::{mpsc, watch};

use super::body::{Body, Piece};
use super::connection::Connection;
use super::upload::Upload;
use super::{exchange, reply};
use crate::admission::{AddressPermit, FrameMemory};
use crate::transport::WireVersions;

/// Most parts of one request.
const MAX_PARTS: usize = 64;

/// Longest request body in bytes. Clients send longer messages in a request of their own.
const MAX_BODY: usize = 256 * 1024;

/// Time limit of a pause in the request body.
const READ_PAUSE: Duration = Duration::from_secs(25);

/// Time limit of the complete request body: 256 KiB at 4 KiB/s.
const READ_TIME: Duration = Duration::from_secs(64);

/// Time for which further responses to a `poll` may begin after the first channel has ended.
const POLL_LINGER: Duration = Duration::from_millis(20);

/// Wait before the next attempt of a client whose request found no memory.
const MEMORY_RETRY: Duration = Duration::from_secs(5);

/// When the response ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// With the last channel.
    Stream,
    /// Shortly after the first channel, behind the responses that have begun.
    Poll,
}

/// One transport of the request.
#[derive(Debug, PartialEq, Eq)]
struct Part {
    channel: u32,
    /// `None` for the service of the request path.
    service: Option<Result<ServiceName, ServiceNameError>>,
    frames: Bytes,
}

/// Service of the request path.
pub(super) struct PathService {
    pub(super) name: ServiceName,
    /// Whether the path names the service. Rules of proxies for the path then hold for all parts.
    pub(super) is_named: bool,
}

impl PathService {
    /// Service of a part, or the response that refuses the part.
    fn of_part(&self, part: &Part) -> Result<ServiceName, Box<Response<Body>>> {
        let not_found =
            |text: String| Err(Box::new(reply::text(StatusCode::NOT_FOUND, text + "\n")));
        match &part.service {
            None => Ok(self.name.clone()),
            Some(Err(error)) => not_found(error.to_string()),
            Some(Ok(_)) if self.is_named => {
                not_found("the path of the request names the service".to_owned())
            }
            Some(Ok(service)) => Ok(service.clone()),
        }
    }
}

/// Serves the transports of one request; returns as soon as the request is complete.
pub(super) async fn serve(
    mut body: Incoming,
    headers: HeaderMap,
    (path, address): (PathService, Arc<AddressPermit>),
    connection: &Arc<Connection>,
) -> Response<Body> {
    let body = match read(&mut body, FrameMemory::new(Arc::clone(&address))).await {
        Ok(body) => body,
        Err(refusal) => {
            let permit = Arc::clone(&connection.permit);
            tokio::spawn(async move {
                Upload::new(body).discard().await;
                drop(permit);
            });
            return *refusal;
        }
    };
    let Some((mode, parts)) = parse(body) else {
        return reply::text(StatusCode::BAD_REQUEST, "the parts of the request are malformed\n");
    };
    let versions = exchange::versions(&headers, &connection.shared);
    let (chunks, body) = mpsc::channel(1);
    let connection = Arc::clone(connection);
    tokio::spawn(async move {
        let (stop, stopped) = watch::channel(());
        // The first transport has the permit of the request.
        let mut first = Some(address);
        let channels = parts.into_iter().map(|part| {
            let client = path.of_part(&part).and_then(|service| {
                let permit = first.take().or_else(|| connection.admit_further(&headers));
                let permit = permit.ok_or_else(|| Box::new(super::too_many_connections()))?;
                Ok((connection.caller(&headers, service), permit))
            });
            let response = begin(part.frames, versions, client, &connection);
            relay(part.channel, response, stopped.clone(), chunks.clone())
        });
        run(mode, channels.collect(), stop, &chunks).await;
    });
    reply::transport(Body::Chunks(body), false)
}

type Client = (minerva_proto::link::Caller, Arc<AddressPermit>);

/// Runs the channels until the mode ends the response or the client disconnects. Dropped channels disconnect theirs.
async fn run(
    mode: Mode,
    mut channels: FuturesUnordered<impl Future<Output = ()>>,
    stop: watch::Sender<()>,
    chunks: &mpsc::Sender<Piece>,
) {
    tokio::select! {
        () = chunks.closed() => {}
        () = async {
            if mode == Mode::Poll {
                channels.next().await;
                let rest = async { while channels.next().await.is_some() {} };
                let _ = tokio::time::timeout(POLL_LINGER, rest).await;
                drop(stop);
            }
            while channels.next().await.is_some() {}
        } => {}
    }
}

/// Returns the response of one transport as soon as the response begins.
async fn begin(
    frames: Bytes,
    versions: WireVersions,
    client: Result<Client, Box<Response<Body>>>,
    connection: &Arc<Connection>,
) -> Response<Body> {
    match client {
        Ok(client) => exchange::serve(Upload::whole(frames), versions, client, connection).await,
        Err(refusal) => *refusal,
    }
}

/// Passes the response of one transport to the shared response, unless `stopped` closes before the response begins.
async fn relay(
    channel: u32,
    response: impl Future<Output = Response<Body>>,
    mut stopped: watch::Receiver<()>,
    chunks: mpsc::Sender<Piece>,
) {
    let mut response = tokio::select! {
        // The transport of a response that has begun counts its messages as sent.
        biased;
        response = response => response,
        _ = stopped.changed() => return,
    };
    let mut status = response.status().as_u16();
    if let Some(refusal) = response.extensions_mut().remove::<Refusal>() {
        // The channel has no body of an error: the refusal is the only frame.
        let mut frame = BytesMut::new();
        v3::Frame::Refusal(refusal).encode(&mut frame);
        *response.body_mut() = Body::whole(frame.freeze());
        status = 200;
    }
    let wait = response.headers().get(RETRY_AFTER).and_then(|wait| wait.to_str().ok());
    let wait = wait.unwrap_or("0").to_owned();
    while status == 200 {
        match response.body_mut().frame().await {
            Some(Ok(frame)) => {
                let data = frame.into_data().unwrap_or_default();
                let mut piece = BytesMut::from(format!("{channel} {}\n", data.len()).as_bytes());
                piece.extend_from_slice(&data);
                let _ = chunks.send(Ok(piece.freeze())).await;
            }
            Some(Err(_)) => status = 500,
            None => break,
        }
    }
    let end = format!("{channel} end {status} {wait}\n");
    let _ = chunks.send(Ok(end.into())).await;
}

/// Reads the request body within the limits of time, length and memory.
async fn read(body: &mut Incoming, mut memory: FrameMemory) -> Result<Bytes, Box<Response<Body>>> {
    let mut gathered = BytesMut::new();
    let reading = async {
        loop {
            let frame = match tokio::time::timeout(READ_PAUSE, body.frame()).await {
                Ok(Some(Ok(frame))) => frame,
                Ok(None) => return Ok(()),
                Ok(Some(Err(_))) | Err(_) => return Err(refuse("the request cannot be read\n")),
            };
            gathered.extend_from_slice(&frame.into_data().unwrap_or_default());
            if gathered.len() > MAX_BODY {
                let text = format!("a request has at most {MAX_BODY} bytes\n");
                return Err(Box::new(reply::text(StatusCode::PAYLOAD_TOO_LARGE, text)));
            }
            if !memory.resize(gathered.len()) {
                let reason = "no memory for the request";
                return Err(Box::new(reply::unavailable(reason, MEMORY_RETRY)));
            }
        }
    };
    let complete = tokio::time::timeout(READ_TIME, reading).await;
    complete.unwrap_or_else(|_| Err(refuse("the request takes too long\n")))?;
    Ok(gathered.freeze())
}

fn refuse(text: &str) -> Box<Response<Body>> {
    Box::new(reply::text(StatusCode::BAD_REQUEST, text))
}

/// Splits a request body into its parts; `None` if malformed, without parts, or with more than `MAX_PARTS`.
fn parse(mut body: Bytes) -> Option<(Mode, Vec<Part>)> {
    let mode = match &*take_line(&mut body)? {
        b"stream" => Mode::Stream,
        b"poll" => Mode::Poll,
        _ => return None,
    };
    let mut parts: Vec<Part> = Vec::new();
    while !body.is_empty() {
        let line = take_line(&mut body)?;
        let mut words = std::str::from_utf8(&line).ok()?.split(' ');
        let channel = words.next()?.parse().ok()?;
        let length: usize = words.next()?.parse().ok()?;
        let service = words.next().map(ServiceName::parse);
        let is_valid = words.next().is_none()
            && length <= body.len()
            && parts.len() < MAX_PARTS
            && parts.iter().all(|part| part.channel != channel);
        if !is_valid {
            return None;
        }
        parts.push(Part { channel, service, frames: body.split_to(length) });
    }
    (!parts.is_empty()).then_some((mode, parts))
}

/// Removes the first line, and returns the line without its line feed.
fn take_line(body: &mut Bytes) -> Option<Bytes> {
    let end = body.iter().position(|byte| *byte == b'\n')?;
    let line = body.split_to(end);
    *body = body.slice(1..);
    Some(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(body: &str) -> Option<(Mode, Vec<Part>)> {
        super::parse(Bytes::copy_from_slice(body.as_bytes()))
    }

    fn part(channel: u32, service: Option<&str>, frames: &'static str) -> Part {
        let service = service.map(ServiceName::parse);
        Part { channel, service, frames: Bytes::from_static(frames.as_bytes()) }
    }

    #[test]
    fn a_body_has_a_mode_and_parts() {
        let parts = vec![part(7, None, "a\nb"), part(2, Some("chat"), "")];
        assert_eq!(parse("stream\n7 3\na\nb2 0 chat\n"), Some((Mode::Stream, parts)));
        assert_eq!(parse("poll\n0 1\nx"), Some((Mode::Poll, vec![part(0, None, "x")])));
    }

    #[test]
    fn malformed_parts_are_refused() {
        for body in [
            "",
            "stream",
            "stream\n",
            "other\n1 0\n",
            "poll\n1 0",
            "poll\n1\n",
            "poll\n1 2\nx",
            "poll\n-1 0\n",
            "poll\n1 x\n",
            "poll\n1 0 chat 2\n",
            "poll\n1 0\n1 0\n",
        ] {
            assert_eq!(parse(body), None, "{body:?}");
        }
    }

    #[test]
    fn an_invalid_service_name_belongs_to_its_part() {
        let long = "s".repeat(65);
        for name in ["Chat", "", "a.b", &long] {
            let parts = vec![part(1, Some(name), "x"), part(2, Some("chat"), "")];
            assert!(matches!(parts[0].service, Some(Err(_))), "{name:?}");
            assert_eq!(parse(&format!("poll\n1 1 {name}\nx2 0 chat\n")), Some((Mode::Poll, parts)));
        }
    }

    #[test]
    fn the_number_of_parts_is_limited() {
        let body =
            |parts| (0..parts).fold("poll\n".to_owned(), |body, n| body + &format!("{n} 0\n"));
        assert_eq!(parse(&body(MAX_PARTS)).map(|(_, parts)| parts.len()), Some(MAX_PARTS));
        assert_eq!(parse(&body(MAX_PARTS + 1)), None);
    }
}

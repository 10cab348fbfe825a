//! A scripted server answers exactly as recorded: playback must succeed, and must reject every mutation of the
//! expectations.
#![expect(clippy::wildcard_enum_match_arm, reason = "a script plays only some of the steps")]

use futures_util::{SinkExt as _, StreamExt as _, stream};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response as Head};

use super::*;
use crate::face::INT32_MAGIC;
use crate::vectors::{RECORDED, parse};

/// An action of the scripted server.
enum Act {
    /// Reads a number of bytes; over a WebSocket, of messages.
    Read(usize),
    Write(Vec<Vec<u8>>),
    Respond(u16, BTreeMap<String, String>, Vec<Vec<u8>>),
    Close,
}

/// Vectors that a script can play: one connection, no pauses, no ids in expectations.
fn playable(face: Face, most: usize) -> Vec<Vector> {
    let mut vectors = parse(RECORDED).unwrap();
    vectors.retain(|v| script(v, face, "127.0.0.1:12345").is_some());
    let stride = vectors.len().div_ceil(most);
    vectors.into_iter().step_by(stride).collect()
}

fn script(vector: &Vector, face: Face, host: &str) -> Option<Vec<Act>> {
    if crate::face::faces(vector).iter().all(|&known| known != (face, None)) {
        return None;
    }
    let ids = Ids::fresh(&vector.ids);
    let frames = |frames: &[FrameText]| frames.iter().map(|f| ids.frame(f)).collect::<Option<_>>();
    let mut acts = Vec::new();
    for step in &vector.steps {
        let name = match step {
            Step::Open { conn } | Step::SendFrames { conn, .. } => conn,
            Step::Send(send) => &send.conn,
            Step::Expect(expect) => &expect.conn,
            Step::Request(request) => &request.conn,
            Step::ExpectHttp(expect) => &expect.conn,
            _ => return None,
        };
        if name != "a" {
            return None;
        }
        match step {
            Step::Send(send) if send.text.as_deref() != Some(INT32_MAGIC) => return None,
            Step::Send(_) if face == Face::WebSocket => {}
            Step::Send(send) => acts.push(Act::Read(ids.bytes(send.text.as_ref()?)?.len())),
            Step::SendFrames { .. } if face == Face::WebSocket => acts.push(Act::Read(1)),
            Step::SendFrames { frames: list, .. } => {
                let list: Vec<Vec<u8>> = frames(list)?;
                acts.push(Act::Read(list.iter().map(|frame| frame.len() + 4).sum()));
            }
            Step::Expect(expect) => {
                acts.push(Act::Write(frames(&expect.frames)?));
                if expect.then == Then::Closed {
                    acts.push(Act::Close);
                }
            }
            Step::Request(request) => {
                acts.push(Act::Read(http::request(request, host, &ids)?.len()));
            }
            Step::ExpectHttp(e) if e.done && e.conn_then.is_none() => {
                acts.push(Act::Respond(e.status?, e.headers.clone(), frames(e.frames.as_ref()?)?))
            }
            Step::ExpectHttp(_) => return None,
            _ => {}
        }
    }
    Some(acts)
}

async fn serve_tcp(acts: Vec<Act>, mut socket: TcpStream) {
    for act in acts {
        match act {
            Act::Read(length) => {
                let Ok(_) = socket.read_exact(&mut vec![0; length]).await else { return };
            }
            Act::Write(frames) => {
                for frame in frames {
                    let _ = socket.write_all(&(frame.len() as u32).to_be_bytes()).await;
                    let _ = socket.write_all(&frame).await;
                }
            }
            Act::Respond(status, headers, mut frames) => {
                frames.push(Vec::new());
                let body = frames.join(&b'\n');
                let mut head = format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\n", body.len());
                for (name, value) in headers {
                    head.push_str(&format!("{name}: {value}\r\n"));
                }
                head.push_str("\r\n");
                let _ = socket.write_all(head.as_bytes()).await;
                let _ = socket.write_all(&body).await;
            }
            Act::Close => return,
        }
    }
    // The connection stays open until the player closes it.
    let _ = socket.read(&mut [0; 1]).await;
}

#[expect(clippy::result_large_err, reason = "the type is the library's")]
async fn serve_websocket(acts: Vec<Act>, socket: TcpStream) {
    let choose = |_: &Request, mut head: Head| -> Result<Head, ErrorResponse> {
        let protocol = "minerva.2".parse().unwrap();
        head.headers_mut().insert("Sec-WebSocket-Protocol", protocol);
        Ok(head)
    };
    let mut socket = tokio_tungstenite::accept_hdr_async(socket, choose).await.unwrap();
    for act in acts {
        match act {
            Act::Read(_) => {
                let Some(Ok(_)) = socket.next().await else { return };
            }
            Act::Write(frames) => {
                let lines: String =
                    frames.iter().map(|frame| String::from_utf8_lossy(frame) + "\n").collect();
                if !lines.is_empty() {
                    let _ = socket.send(Message::text(lines)).await;
                }
            }
            Act::Respond(..) => return,
            Act::Close => return,
        }
    }
    let _ = socket.next().await;
}

/// Plays `expected` against a server with the script of `real`.
async fn play_against(real: Vector, expected: Vector, face: Face) -> Playback {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = listener.local_addr().unwrap();
    let acts = script(&real, face, &server.to_string()).unwrap();
    let scripted = tokio::spawn(async move {
        let (socket, _) = listener.accept().await.unwrap();
        match face {
            Face::WebSocket => serve_websocket(acts, socket).await,
            Face::Tcp | Face::Http => serve_tcp(acts, socket).await,
        }
    });
    let playback = play(&expected, face, server).await;
    scripted.abort();
    playback
}

/// All mutations of one step's expectations, with descriptions.
fn mutations(vector: &Vector) -> Vec<(String, Vector)> {
    let mut all = Vec::new();
    for index in 0..vector.steps.len() {
        let mut add = |mutation: &str, change: &dyn Fn(&mut Step)| {
            let mut mutated = vector.clone();
            shorten_waits(&mut mutated.steps[index]);
            change(&mut mutated.steps[index]);
            all.push((format!("{}: step {index}: {mutation}", vector.name), mutated));
        };
        let is_expectation = matches!(vector.steps[index], Step::Expect(_) | Step::ExpectHttp(_));
        if !is_expectation {
            continue;
        }
        add("one frame more", &|step| frames_of(step).push(FrameText::Whole("x^".into())));
        if !frames_of(&mut vector.steps[index].clone()).is_empty() {
            add("one frame less", &|step| drop(frames_of(step).pop()));
            add("another frame", &|step| frames_of(step)[0] = FrameText::Whole("Q".into()));
        }
        match &vector.steps[index] {
            Step::Expect(_) => add("the other end", &|step| {
                let Step::Expect(expect) = step else { return };
                expect.then = match expect.then {
                    Then::Open => Then::Closed,
                    Then::Closed => Then::Open,
                };
            }),
            _ => {
                add("another status", &|step| http_of(step).status = Some(204));
                add("no status", &|step| http_of(step).status = None);
                add("not done", &|step| http_of(step).done = false);
                add("another type", &|step| {
                    http_of(step).headers.insert("content-type".into(), "text/html".into());
                });
            }
        }
    }
    all
}

fn shorten_waits(step: &mut Step) {
    match step {
        Step::Expect(expect) => expect.within_ms = 100,
        Step::ExpectHttp(expect) => expect.within_ms = 100,
        _ => {}
    }
}

fn frames_of(step: &mut Step) -> &mut Vec<FrameText> {
    match step {
        Step::Expect(expect) => &mut expect.frames,
        Step::ExpectHttp(expect) => expect.frames.as_mut().unwrap(),
        _ => panic!("not an expectation"),
    }
}

fn http_of(step: &mut Step) -> &mut ExpectHttp {
    match step {
        Step::ExpectHttp(expect) => expect,
        _ => panic!("not an HTTP expectation"),
    }
}

async fn rejects_mutations(face: Face) {
    let vectors = playable(face, 12);
    assert!(vectors.len() >= 8, "only {} vectors for {face}", vectors.len());
    for vector in &vectors {
        let playback = play_against(vector.clone(), vector.clone(), face).await;
        assert_eq!(playback.mismatch, None, "{} over {face}", vector.name);
    }
    let mutated: Vec<_> = vectors
        .iter()
        .flat_map(|vector| mutations(vector).into_iter().map(|m| (vector.clone(), m)))
        .collect();
    let mut playbacks = stream::iter(mutated)
        .map(|(real, (mutation, expected))| async move {
            (mutation, play_against(real, expected, face).await)
        })
        .buffer_unordered(32);
    while let Some((mutation, playback)) = playbacks.next().await {
        assert!(playback.mismatch.is_some(), "not rejected over {face}: {mutation}");
        assert!(playback.answered, "{mutation}");
    }
}

#[tokio::test]
async fn mutated_expectations_are_rejected_over_tcp() {
    rejects_mutations(Face::Tcp).await;
}

#[tokio::test]
async fn mutated_expectations_are_rejected_over_http() {
    rejects_mutations(Face::Http).await;
}

#[tokio::test]
async fn mutated_expectations_are_rejected_over_websocket() {
    rejects_mutations(Face::WebSocket).await;
}

#[tokio::test]
async fn an_unreachable_or_silent_server_counts_as_unanswered() {
    let vector = playable(Face::Tcp, 1).remove(0);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = listener.local_addr().unwrap();
    let mut hasty = vector;
    hasty.steps.iter_mut().for_each(shorten_waits);
    let silent = play(&hasty, Face::Tcp, server).await;
    assert!(silent.mismatch.is_some() && !silent.answered);
    drop(listener);
    let absent = play(&hasty, Face::Tcp, server).await;
    assert!(absent.mismatch.is_some() && !absent.answered);
}

#[test]
fn earlier_acks_are_ignored_with_last_ack_only() {
    let frames = |texts: &[&str]| texts.iter().map(|t| t.as_bytes().to_vec()).collect::<Vec<_>>();
    let all = frames(&["C", "|0A", "0N", "|1A", "x "]);
    assert_eq!(normalize(all.clone(), None), all);
    assert_eq!(normalize(all, Some(Norm::LastAckOnly)), frames(&["C", "0N", "|1A", "x "]));
}

#[test]
fn malformed_hex_is_rejected() {
    assert_eq!(unhex("00fF"), Ok(vec![0, 255]));
    assert!(unhex("0").is_err() && unhex("0g").is_err());
}

//! Reasons for missing connections, as the application sees them.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod peer;

use minerva_client::{ConnectError, EndedBy, ProblemCode, RefusalCode, Stream, TransportKind};
use minerva_proto::{Frame, KillReason, Reset};
use peer::{Peer, config, soon};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// Answers the next HTTP request of a listener.
async fn answer(listener: &TcpListener, response: &str) {
    let (mut socket, _) = soon(listener.accept()).await.unwrap();
    let mut request = Vec::new();
    while !request.windows(4).any(|bytes| bytes == b"\r\n\r\n") {
        assert_ne!(soon(socket.read_buf(&mut request)).await.unwrap(), 0, "closed");
    }
    socket.write_all(response.as_bytes()).await.unwrap();
    socket.shutdown().await.unwrap();
    // Unread input would reset the connection.
    let _ = soon(socket.read_to_end(&mut request)).await;
}

fn response(status: &str, kind: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    )
}

#[tokio::test]
async fn open_fails_with_the_reason_of_every_attempt() {
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut config = config(format!("{gone}, {address}"), TransportKind::WebSocket);
    config.fallbacks = vec![TransportKind::HttpStream];
    let opening = tokio::spawn(Stream::open(config));
    let page = "<html>sign in</html>";
    answer(&listener, &response("403 Forbidden", "text/plain", "this origin may not\n")).await;
    answer(&listener, &response("511 Network", "text/html", page)).await;
    let error = soon(opening).await.unwrap().unwrap_err();
    let text = error.to_string();
    let ConnectError::Failed { attempts } = error else { panic!("{error}") };
    let seen: Vec<_> = attempts
        .iter()
        .map(|attempt| (attempt.transport, attempt.address.clone(), attempt.problem.code.as_str()))
        .collect();
    let (gone, address) = (gone.to_string(), address.to_string());
    let expected = [
        (TransportKind::WebSocket, gone.clone(), "network"),
        (TransportKind::WebSocket, address.clone(), "origin"),
        (TransportKind::HttpStream, gone, "network"),
        (TransportKind::HttpStream, address, "proxy"),
    ];
    assert_eq!(seen, expected);
    assert!(text.contains("refused") && text.contains("this origin may not"), "{text}");
}

#[tokio::test]
async fn a_problem_is_reported_and_disappears_with_the_connection() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let stream =
        Stream::connect(config(listener.local_addr().unwrap(), TransportKind::Tcp)).unwrap();
    assert_eq!(stream.problem(), None);
    let (mut peer, _) = soon(Peer::accept(&listener)).await;
    peer.write(Frame::TransportKill(KillReason::InvalidFrameTypeOrArguments)).await;
    let problem = soon(stream.problem_changed(None)).await.unwrap();
    assert_eq!(problem.as_ref().unwrap().code, ProblemCode::Refused(RefusalCode::Hello));
    assert_eq!(stream.problem(), problem);
    let (mut peer, _) = soon(Peer::accept(&listener)).await;
    peer.write(Frame::StreamCreated).await;
    assert_eq!(soon(stream.problem_changed(problem.as_ref())).await, Ok(None));
    drop(peer);
    let problem = soon(stream.problem_changed(None)).await.unwrap();
    assert_eq!(problem.unwrap().code, ProblemCode::Network);
}

#[tokio::test]
async fn a_socket_that_closes_before_the_answer_is_reported_with_the_usual_causes() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let opening =
        tokio::spawn(Stream::open(config(listener.local_addr().unwrap(), TransportKind::Tcp)));
    drop(soon(Peer::accept(&listener)).await);
    let text = soon(opening).await.unwrap().unwrap_err().to_string();
    assert!(text.contains("the server may be full"), "{text}");
}

#[tokio::test]
async fn open_returns_a_created_stream_or_its_end() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let config = || config(listener.local_addr().unwrap(), TransportKind::Tcp);
    let opening = tokio::spawn(Stream::open(config()));
    let (mut peer, _) = soon(Peer::accept(&listener)).await;
    peer.write(Frame::StreamCreated).await;
    assert_eq!(soon(opening).await.unwrap().unwrap().transport(), Some(TransportKind::Tcp));
    let opening = tokio::spawn(Stream::open(config()));
    let (mut peer, _) = soon(Peer::accept(&listener)).await;
    peer.write(Frame::Reset(Reset::new("no", true))).await;
    let error = soon(opening).await.unwrap().unwrap_err();
    assert!(matches!(error, ConnectError::Ended(ended) if ended.by == EndedBy::Server));
}

#[tokio::test]
async fn a_fixed_response_of_a_load_balancer_is_no_connection() {
    for body in ["", "OK", "healthy\n", "<html>\n"] {
        let fixed = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addresses =
            format!("{}, {}", fixed.local_addr().unwrap(), server.local_addr().unwrap());
        let opening = tokio::spawn(Stream::open(config(addresses, TransportKind::LongPoll)));
        answer(&fixed, &response("200 OK", "text/plain", body)).await;
        answer(&server, &response("200 OK", "text/plain", body)).await;
        let error = soon(opening).await.unwrap().unwrap_err();
        let ConnectError::Failed { attempts } = error else { panic!("{error}") };
        let codes: Vec<_> = attempts.iter().map(|attempt| attempt.problem.code).collect();
        assert_eq!(codes, [ProblemCode::Proxy, ProblemCode::Proxy], "{body:?}");
    }
}

//! Refusals: their codes, frames, HTTP errors and close codes.

use minerva_proto::KillReason;

use super::*;

fn is_refused_with(code: RefusalCode) -> impl Fn(&Frame) -> bool {
    move |frame| matches!(frame, Frame::Refusal(refusal) if refusal.code() == Some(code))
}

#[test]
fn a_violation_is_reported_once_the_core_has_closed_the_transport() {
    let violations: [(&[u8], RefusalCode); 6] = [
        (b"\x01\x00", RefusalCode::Frame),
        (b"m\x81\x00a", RefusalCode::Frame),
        (b"m\x03\xed\xa0\x80", RefusalCode::Message),
        (b"m\x81\x80\x40", RefusalCode::TooLarge),
        (b"Z\x03\x01\x03\x00", RefusalCode::Frame),
        (b"Y\x00", RefusalCode::Frame),
    ];
    for protocol in PROTOCOLS {
        for (bytes, code) in violations {
            let mut rig = Rig3::attached(protocol);
            rig.receive([b"m\x01a", bytes].concat());
            let batches = rig.take_batches();
            assert_eq!(runs(&batches[0]), [(0, vec!["a".to_owned()])], "frames before count");
            let kill = batches[0].end.and_then(|end| end.kill).expect("a kill");
            assert_eq!(rig.refused(), None);
            rig.close(CloseCause::Kill(kill));
            assert_eq!(rig.refused(), Some(code), "{bytes:x?}");
        }
    }
}

#[test]
fn kills_of_the_core_have_codes() {
    for (reason, code) in [
        (KillReason::StreamAttachFailure, RefusalCode::Gone),
        (KillReason::AckedUnsentStrings, RefusalCode::AckedUnsent),
        (KillReason::RwinOverflow, RefusalCode::Window),
    ] {
        for protocol in PROTOCOLS {
            let mut rig = Rig3::new(protocol);
            rig.hello(r#","maxia":0,"eeds":null"#);
            rig.close(CloseCause::Kill(reason));
            assert_eq!(rig.refused(), Some(code));
            assert_eq!(rig.machine.refusal().and_then(Refusal::code), Some(code));
        }
    }
}

#[test]
fn a_stream_of_another_version_is_refused() {
    for protocol in PROTOCOLS {
        let mut rig = Rig3::new(protocol);
        rig.hello(r#","maxia":0"#);
        rig.close(CloseCause::WrongVersion);
        assert_eq!(rig.refused(), Some(RefusalCode::Version));
    }
}

#[test]
fn a_transport_of_an_older_generation_is_refused() {
    for protocol in PROTOCOLS {
        for is_opened in [false, true] {
            let mut rig = Rig3::new(protocol);
            rig.hello(r#","maxia":0"#);
            if is_opened {
                rig.opened(None);
            }
            rig.close(CloseCause::Superseded);
            assert_eq!(rig.refused(), Some(RefusalCode::Superseded), "{protocol:?}");
        }
    }
}

#[test]
fn an_http_error_before_the_response_has_a_frame_and_a_frame_behind() {
    let mut rig = Rig3::new(TransportProtocol::Http);
    rig.hello(r#","maxia":0,"eeds":null"#);
    rig.close(CloseCause::Kill(KillReason::StreamAttachFailure));
    assert!(matches!(&rig.ending, Some(Ending::Refused(refusal)) if refusal.status() == 410));
    assert!(rig.written.is_empty());

    let mut rig = Rig3::attached(TransportProtocol::Http);
    let retry_after = Duration::from_secs(3);
    rig.close(CloseCause::Unavailable { reason: "not now".to_owned(), retry_after });
    let [Frame::Refusal(refusal)] = &rig.take_written()[..] else { panic!() };
    assert_eq!(refusal.code(), Some(RefusalCode::Unavailable));
    assert_eq!((refusal.title(), refusal.after), ("not now", Some(retry_after)));
    assert_eq!(rig.ending, Some(Ending::Complete));
}

#[test]
fn a_websocket_closes_with_the_code_once_the_refusal_is_written() {
    let mut rig = Rig3::attached(TransportProtocol::WebSocket);
    rig.close(CloseCause::Kill(KillReason::RwinOverflow));
    assert!(is_refused_with(RefusalCode::Window)(&rig.written[0]));
    assert_eq!((&rig.written[1], &rig.ending), (&Frame::YouCloseIt, &None));
    rig.written_all();
    let Some(Ending::Refused(refusal)) = &rig.ending else { panic!("{:?}", rig.ending) };
    assert_eq!(refusal.close_code(), 4409);
    assert!(rig.to_core.contains(&EdgeMessage::Detach));
}

#[test]
fn a_tcp_client_closes_the_connection_itself() {
    let mut rig = Rig3::attached(TransportProtocol::Tcp);
    rig.close(CloseCause::Kill(KillReason::RwinOverflow));
    rig.written_all();
    assert_eq!((rig.written.last(), &rig.ending), (Some(&Frame::YouCloseIt), &None));
    rig.pass(CLOSE_TIMEOUT);
    assert_eq!(rig.ending, Some(Ending::Closed));
}

#[test]
fn an_invalid_hello_is_refused_in_its_version() {
    for protocol in PROTOCOLS {
        for (keys, code) in [
            (r#","maxia":-1"#, RefusalCode::Hello),
            (r#","maxia":0,"next":"c0tQbm9yVGl4dXl6QWJjRA""#, RefusalCode::Hello),
            (r#","maxia":0,"new":true,"born":"9.00000007b0d88862""#, RefusalCode::Hello),
        ] {
            let mut rig = Rig3::new(protocol);
            rig.hello(keys);
            assert_eq!(rig.refused(), Some(code), "{protocol:?} {keys}");
            assert!(rig.to_core.is_empty());
        }
    }
}

#[test]
fn the_subprotocol_has_no_other_version() {
    for (json, code) in [
        (hello_of(2), RefusalCode::Version),
        (hello_of(4), RefusalCode::Version),
        ("x\n".to_owned(), RefusalCode::Frame),
        ("no line feed".to_owned(), RefusalCode::Frame),
    ] {
        let mut rig = Rig3::new(TransportProtocol::WebSocket);
        rig.receive(json.clone().into_bytes());
        assert_eq!(rig.refused(), Some(code), "{json}");
    }
}

fn hello_of(version: u32) -> String {
    let hello = hello(TransportProtocol::WebSocket, r#","maxia":0"#);
    let text = String::from_utf8(hello.to_vec()).unwrap();
    text.replace("\"ver\":3", &format!("\"ver\":{version}"))
}

#[test]
fn an_edge_without_version_3_answers_as_version_2() {
    for (protocol, versions) in
        [(TransportProtocol::Tcp, WireVersions::Two), (TransportProtocol::Http, WireVersions::Two)]
    {
        let mut rig = Rig::without_link(protocol, Limits { versions, ..Limits::default() });
        rig.input(Input::Received { bytes: hello(protocol, r#","maxia":0"#), last: true });
        let kill = "invalid_frame_type_or_argumentsK";
        assert!(rig.take_written().contains(&kill.to_owned()), "{protocol:?}");
    }
}

#[test]
fn an_http_hello_of_version_3_needs_the_content_type() {
    let versions = WireVersions::TwoByContentType;
    let limits = Limits { versions, ..Limits::default() };
    let mut rig = Rig3::with(TransportProtocol::Http, limits);
    rig.hello(r#","maxia":0"#);
    assert_eq!(rig.ending, Some(Ending::ContentType));
}

#[test]
fn a_limit_of_the_edge_is_busy_with_a_pause() {
    for protocol in PROTOCOLS {
        let mut rig = Rig3::attached(protocol);
        let retry_after = Duration::from_secs(5);
        let limited = Input::Limited { reason: "too much", retry_after };
        rig.input(limited.clone());
        assert_eq!(rig.refused(), Some(RefusalCode::Busy));
        // A client that goes on is cut off.
        rig.input(limited);
        assert!(rig.machine.is_over());
    }
}

#[test]
fn an_owner_without_version_3_is_the_end_of_the_transport() {
    for protocol in PROTOCOLS {
        let mut rig =
            Rig3::with(protocol, Limits { versions: versions(protocol), ..Limits::default() });
        rig.input(Input::OwnerLost);
        rig.hello(r#","maxia":0"#);
        rig.input(Input::VersionUnavailable);
        assert_eq!(rig.refused(), Some(RefusalCode::Version));
        assert!(rig.to_core.is_empty());
    }
}

#[test]
fn a_draining_edge_has_a_reason_for_a_websocket_without_a_hello() {
    let mut rig = Rig3::new(TransportProtocol::WebSocket);
    rig.input(Input::Drain);
    assert_eq!(rig.refused(), Some(RefusalCode::Draining));
}

#[test]
fn a_text_message_on_a_websocket_is_no_frame() {
    for (input, code) in
        [(Input::Garbled, RefusalCode::Frame), (Input::TooLarge, RefusalCode::TooLarge)]
    {
        let mut rig = Rig3::attached(TransportProtocol::WebSocket);
        rig.input(input);
        let kill = rig.take_batches()[0].end.and_then(|end| end.kill).unwrap();
        rig.close(CloseCause::Kill(kill));
        assert_eq!(rig.refused(), Some(code));
    }
}

#[test]
fn a_websocket_message_holds_whole_frames() {
    let mut rig = Rig3::attached(TransportProtocol::WebSocket);
    rig.receive(&b"m\x01am\x02b"[..]);
    let kill = rig.take_batches()[0].end.and_then(|end| end.kill).unwrap();
    rig.close(CloseCause::Kill(kill));
    assert_eq!(rig.refused(), Some(RefusalCode::Frame));
}

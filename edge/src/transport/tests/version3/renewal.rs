//! Renewal of credentials: the request of the core as a frame, and the answer of the client as part of a batch.

use minerva_proto::v3::Renewal;

use super::*;

fn answer(credentials: &str) -> Frame {
    Frame::Renewal(Renewal::Credentials(credentials.to_owned()))
}

/// The credentials in the batches for the core.
fn forwarded(rig: &mut Rig3) -> Vec<String> {
    let batches = rig.to_core.drain(..).filter_map(|message| match message {
        EdgeMessage::Batch(batch) => Some(batch),
        EdgeMessage::Attach(attach) => attach.batch,
        EdgeMessage::Grant(_) | EdgeMessage::Detach => None,
    });
    batches.map(|batch| batch.credentials).filter(|text| !text.is_empty()).collect()
}

#[test]
fn the_request_is_a_frame_and_the_answer_reaches_the_core() {
    for protocol in PROTOCOLS {
        let mut rig = Rig3::attached(protocol);
        let within = Duration::from_secs(60);
        rig.core(CoreMessage::Renew(within));
        assert_eq!(rig.written, [Frame::Renewal(Renewal::Wanted(within))], "{protocol:?}");
        rig.frames(&[answer("token")]);
        assert_eq!(forwarded(&mut rig), ["token"], "{protocol:?}");
    }
}

#[test]
fn an_upload_carries_the_answer_with_its_end() {
    let mut rig = Rig3::new(TransportProtocol::Http);
    let mut bytes = BytesMut::from(&*hello(TransportProtocol::Http, r#","maxia":0"#));
    bytes.extend_from_slice(&encoded(&[answer("token")]));
    rig.input(Input::Received { bytes: bytes.freeze(), last: true });
    assert_eq!(forwarded(&mut rig), ["token"]);
}

/// Each answer costs the core the verification of a signature.
#[test]
fn answers_beyond_the_requests_have_no_effect() {
    let mut rig = Rig3::attached(TransportProtocol::WebSocket);
    for number in 0..3 {
        rig.frames(&[answer(&format!("early {number}"))]);
    }
    assert_eq!(forwarded(&mut rig), ["early 0"], "the request may have used another transport");
    for _ in 0..9 {
        rig.core(CoreMessage::Renew(Duration::from_secs(9)));
    }
    for number in 0..9 {
        rig.frames(&[answer(&format!("{number}"))]);
    }
    assert_eq!(forwarded(&mut rig), ["0", "1", "2", "3"]);
    assert_eq!(rig.ending, None, "the transport goes on");
}

#[test]
fn a_lost_owner_gets_the_answer_again() {
    let mut rig = Rig3::attached(TransportProtocol::WebSocket);
    rig.frames(&[answer("token")]);
    rig.to_core.clear();
    rig.input(Input::LinkLost);
    rig.input(Input::OwnerFound);
    assert_eq!(forwarded(&mut rig), ["token"], "the batch was not taken");
}

#[test]
fn a_client_of_version_2_is_never_asked() {
    let mut rig = Rig::new(TransportProtocol::Tcp);
    rig.hello(r#","eeds":null"#);
    let before = rig.written.len();
    rig.core(CoreMessage::Renew(Duration::from_secs(9)));
    assert_eq!(rig.written.len(), before);
}

//! QAN (question, answer, notification): an accepted message is encoded to the same bytes, and any allowed body is
//! accepted.

use bytes::Bytes;
use minerva_proto::{QanFrame, is_message_allowed};

pub fn run(input: &[u8]) {
    let question = QanFrame::Question { number: 7, body: Bytes::copy_from_slice(input) };
    let again = QanFrame::parse(&question.encode());
    assert_eq!(again.ok(), is_message_allowed(input).then_some(question), "a body is changed");
    let Ok(frame) = QanFrame::parse(input) else { return };
    assert_eq!(frame.encode(), input, "the message is not canonical");
}

pub fn seeds() -> Vec<Vec<u8>> {
    let body = Bytes::from_static(b"body | with a bar");
    let frames = [
        QanFrame::Question { number: 1, body: body.clone() },
        QanFrame::Okay { number: 22, body: body.clone() },
        QanFrame::KnownError { number: 333, body: Bytes::new() },
        QanFrame::UnknownError { number: 9_007_199_254_740_992, body: body.clone() },
        QanFrame::Cancel { number: 7 },
        QanFrame::Notify { body },
    ];
    frames.iter().map(|frame| frame.encode().to_vec()).collect()
}

//! QAN (question, answer, notification): an accepted message is encoded to the same bytes and the same kind, and any body
//! is accepted.

use minerva_proto::{Message, QanFrame};

pub fn run(input: &[u8]) {
    let text = std::str::from_utf8(input).ok().map(Message::from);
    for message in [Some(Message::from(input)), text].into_iter().flatten() {
        let question = QanFrame::Question { number: 7, body: message.clone() };
        assert_eq!(QanFrame::parse(&question.encode()), Ok(question), "a body is changed");
        match QanFrame::parse(&message) {
            Ok(QanFrame::Cancel { number }) => {
                let text = QanFrame::Cancel { number }.encode();
                assert_eq!(text.as_bytes(), message.as_bytes(), "the message is not canonical");
            }
            Ok(frame) => assert_eq!(frame.encode(), message, "the message is not canonical"),
            Err(_) => {}
        }
    }
}

pub fn seeds() -> Vec<Vec<u8>> {
    let body = || Message::from("body | with a bar");
    let frames = [
        QanFrame::Question { number: 1, body: body() },
        QanFrame::Okay { number: 22, body: body() },
        QanFrame::KnownError { number: 333, body: "".into() },
        QanFrame::UnknownError { number: 9_007_199_254_740_992, body: body() },
        QanFrame::Cancel { number: 7 },
        QanFrame::Notify { body: "caf\u{e9}".into() },
    ];
    frames.iter().map(|frame| frame.encode().into_bytes().to_vec()).collect()
}

//! A stream at which app instances die: one log line per delivery, and a gauge.

use minerva_proto::StreamId;
use minerva_proto::link::pb::edge_frame;

use super::peers::{App, Edge, attach, batch};
use super::{ID, Program, free_addresses, http};

async fn suspects(program: &Program) -> String {
    let metrics = http(program.admin, "/metrics").await;
    let line = metrics.lines().find(|line| line.starts_with("minerva_suspect_streams "));
    line.unwrap_or_default().to_owned()
}

#[tokio::test]
async fn a_suspect_stream_is_named_in_the_log_and_counted() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("log");
    let log = std::fs::File::create(&path).unwrap();
    let options = ["--app-crash-grace", "10ms", "--app-grace", "100ms"];
    let program = Program::start_logging(directory.path(), free_addresses(), &options, log.into());
    let mut edge = Edge::connect(program.link).await;
    let mut app = App::register(program.api, "one", vec![]).await;
    edge.attach(attach(1, ID)).await;
    edge.send(edge_frame::Frame::Batch(batch(1, 0, 0, &["poison"])));
    for attempts in 1..=3 {
        let started = app.started().await;
        assert_eq!(started.attempts, attempts);
        assert_eq!(app.messages(1, 1).await, ["poison"]);
        let count = u32::from(attempts == 3);
        assert_eq!(suspects(&program).await, format!("minerva_suspect_streams {count}"));
        if attempts == 3 {
            app.acknowledge(started.stream, 1);
            // A confirmed send follows the acknowledgement.
            app.send_messages(started.stream, 0, &["x"]);
            app.sent(1).await;
            break;
        }
        // The core takes the replaced call for the call of a dead process.
        app = App::register(program.api, "one", vec![]).await;
    }
    assert_eq!(suspects(&program).await, "minerva_suspect_streams 0");
    let log = std::fs::read_to_string(path).unwrap();
    let text = "app instances died with this stream in delivery";
    let lines: Vec<&str> = log.lines().filter(|line| line.contains(text)).collect();
    let hash = StreamId::parse(ID).unwrap().short_hash().to_string();
    let fields = [" WARN ", &hash, "service=\"default\"", "instance=\"one\"", "attempt=3"];
    assert_eq!(lines.len(), 1, "{log}");
    assert!(fields.iter().all(|field| lines[0].contains(field)), "{fields:?} {log}");
    assert!(!log.contains(ID) && !log.contains("poison"), "{log}");
}

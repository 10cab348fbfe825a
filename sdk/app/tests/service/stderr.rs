//! Failures of handlers in a program without a `tracing` subscriber: the test runs its own program and reads stderr.

use std::process::Command;

use crate::service;

const CHILD: &str = "MINERVA_TEST_STDERR";

#[tokio::test]
async fn errors_and_panics_of_handlers_are_on_stderr_without_a_subscriber() {
    if std::env::var_os(CHILD).is_some() {
        return fail_twice().await;
    }
    let path = "stderr::errors_and_panics_of_handlers_are_on_stderr_without_a_subscriber";
    let mut command = Command::new(std::env::current_exe().unwrap());
    let output = command.args([path, "--exact", "--nocapture"]).env(CHILD, "1").output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stderr).unwrap();
    let lines: Vec<_> = text.lines().filter(|line| line.starts_with("minerva: ")).collect();
    assert_eq!(lines.len(), 2, "{text}");
    for (line, end) in lines.iter().zip([" failed: no such board", " panicked: "]) {
        let rest = line.strip_prefix("minerva: the handler of stream ").unwrap();
        assert!(rest.contains(end), "{line}");
    }
    assert!(lines[1].contains("out of boards"), "{text}");
}

async fn fail_twice() {
    let (_core, mut call, service) = service().await;
    let run = tokio::spawn(service.run(|stream| async move {
        match stream.number().0 {
            1 => Err("no such board"),
            _ => panic!("out of boards"),
        }
    }));
    for stream in [1, 2] {
        call.start(stream).await;
        call.reset().await;
    }
    assert!(!run.is_finished());
}

//! Renewal of certificates in a running edge.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;

use rustix::process::{Pid, Signal, kill_process};

use crate::encrypted::{Files, Trust, bind};
use crate::ports::free_port;
use crate::support::{Core, TIMEOUT};

#[tokio::test]
async fn invalid_files_keep_the_previous_certificate() {
    let (files, other) = (Files::make(), Files::make());
    let certificates = bind(files.config(0)).await.unwrap().unwrap();
    std::fs::copy(other.certificate(), files.certificate()).unwrap();
    let error = certificates.reload().unwrap_err().to_string();
    assert!(error.contains("does not match"), "{error}");
    files.become_like(&other);
    certificates.reload().unwrap();
}

/// The program; killed on drop.
struct Program(Child);

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Program {
    fn hang_up(&self) {
        let id = Pid::from_raw(i32::try_from(self.0.id()).unwrap()).unwrap();
        kill_process(id, Signal::HUP).unwrap();
    }
}

/// Waits for a line with this text, on another thread, so that the core keeps running.
async fn wait_for_line(lines: &mut Option<mpsc::Receiver<String>>, text: &'static str) {
    let receiver = lines.take().unwrap();
    let waiting = tokio::task::spawn_blocking(move || {
        while !receiver.recv_timeout(TIMEOUT).expect("the line never appears").contains(text) {}
        receiver
    });
    *lines = Some(waiting.await.unwrap());
}

fn lines(from: impl std::io::Read + Send + 'static, to: mpsc::Sender<String>) {
    std::thread::spawn(move || {
        for line in BufReader::new(from).lines().map_while(Result::ok) {
            let _ = to.send(line);
        }
    });
}

#[tokio::test]
async fn a_hangup_reloads_the_files() {
    let (old, new, files) = (Files::make(), Files::make(), Files::make());
    files.become_like(&old);
    let mut core = Core::listen().await;
    let address = std::net::SocketAddr::from(([127, 0, 0, 1], free_port()));
    let mut command = Command::new(env!("CARGO_BIN_EXE_minerva-edge"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("MINERVA_")) {
        command.env_remove(name);
    }
    command.args(["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"]);
    command.args(["--tls-listen", &address.to_string(), "--core", &core.address.to_string()]);
    command.arg("--tls-certificate").arg(files.certificate());
    command.arg("--tls-key").arg(files.key());
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut program = Program(child);
    let (to, output) = mpsc::channel();
    lines(program.0.stdout.take().unwrap(), to.clone());
    lines(program.0.stderr.take().unwrap(), to);
    let mut output = Some(output);
    core.greet().await;
    wait_for_line(&mut output, "ready").await;

    let (trusts_old, trusts_new) = (Trust::of(&old), Trust::of(&new));
    let mut early = trusts_old.client(address).await;
    assert!(trusts_new.dial(address).await.is_err());
    std::fs::write(files.key(), "nothing").unwrap();
    program.hang_up();
    wait_for_line(&mut output, "the previous one stays in use").await;
    trusts_old.dial(address).await.unwrap();
    files.become_like(&new);
    program.hang_up();
    wait_for_line(&mut output, "certificate and key reloaded").await;
    trusts_new.dial(address).await.unwrap();
    assert!(trusts_old.dial(address).await.is_err());
    early.send(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    assert_eq!(early.answer().await.status, 404, "an open connection continues");
}

#[test]
fn a_missing_file_ends_the_program_with_64() {
    let files = Files::make();
    let mut command = Command::new(env!("CARGO_BIN_EXE_minerva-edge"));
    command.args([
        "--tls-listen",
        "127.0.0.1:0",
        "--listen",
        "127.0.0.1:0",
        "--admin",
        "127.0.0.1:0",
    ]);
    command.arg("--tls-certificate").arg(files.certificate()).args(["--tls-key", "/nowhere"]);
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(64));
    let stderr = String::from_utf8(output.stderr).unwrap();
    let names_the_fix =
        stderr.contains("--tls-key: cannot read /nowhere") && stderr.contains("fix: ");
    assert!(names_the_fix, "{stderr}");
}

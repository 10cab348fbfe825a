//! Certificates that were renewed while the edge runs.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;

use rustix::process::{Pid, Signal, kill_process};

use crate::encrypted::{Files, Trust, bind};
use crate::ports::free_port;
use crate::support::{Core, PATIENCE};

#[tokio::test]
async fn files_that_will_not_do_leave_what_was_read_before() {
    let (files, other) = (Files::make(), Files::make());
    let certificates = bind(files.config(0)).await.unwrap().unwrap();
    std::fs::copy(other.certificate(), files.certificate()).unwrap();
    let error = certificates.reload().unwrap_err().to_string();
    assert!(error.contains("does not go with"), "{error}");
    files.become_like(&other);
    certificates.reload().unwrap();
}

/// The program, killed in the end.
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

/// Waits for a line that has this, on another thread: the core has to go on.
async fn hears(lines: &mut Option<mpsc::Receiver<String>>, text: &'static str) {
    let said = lines.take().unwrap();
    let waiting = tokio::task::spawn_blocking(move || {
        while !said.recv_timeout(PATIENCE).expect("it never says so").contains(text) {}
        said
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
async fn a_hangup_reads_them_again() {
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
    let (to, said) = mpsc::channel();
    lines(program.0.stdout.take().unwrap(), to.clone());
    lines(program.0.stderr.take().unwrap(), to);
    let mut said = Some(said);
    core.greet().await;
    hears(&mut said, "ready").await;

    let (trusts_old, trusts_new) = (Trust::of(&old), Trust::of(&new));
    let mut early = trusts_old.client(address).await;
    assert!(trusts_new.dial(address).await.is_err());
    std::fs::write(files.key(), "nothing").unwrap();
    program.hang_up();
    hears(&mut said, "the former certificate stays").await;
    trusts_old.dial(address).await.unwrap();
    files.become_like(&new);
    program.hang_up();
    hears(&mut said, "certificate and key are read again").await;
    trusts_new.dial(address).await.unwrap();
    assert!(trusts_old.dial(address).await.is_err());
    early.send(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    assert_eq!(early.answer().await.status, 404, "a connection from before goes on");
}

#[test]
fn a_file_that_is_not_there_ends_the_program_with_64() {
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
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("--tls-key: cannot read /nowhere") && said.contains("fix: "), "{said}");
}

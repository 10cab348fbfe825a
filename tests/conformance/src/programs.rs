//! The programs under test: `minerva` and the example application, on free ports with an own data directory.
//! Dropping the value kills both.

use std::fs::File;
use std::hash::{BuildHasher as _, RandomState};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, bail};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

/// Time limit for the readiness of a program.
const START: Duration = Duration::from_secs(30);
/// Printed bytes of a log after the end of its program.
const SHOWN_LOG: usize = 4000;

/// The running programs.
pub(crate) struct Programs {
    children: Vec<(&'static str, Child)>,
    listen: SocketAddr,
    /// Holds the store and the logs; deleted with this value.
    directory: TempDir,
}

impl Programs {
    /// Starts both programs and waits for their readiness.
    pub(crate) async fn start(minerva: &Path, app: &Path) -> anyhow::Result<Self> {
        let directory = tempfile::tempdir().context("no temporary directory")?;
        let (listen, api, admin) = (free_address()?, free_address()?, free_address()?);
        let mut programs = Self { children: Vec::new(), listen, directory };
        let mut command = Command::new(minerva);
        command.args(["--demo", "off", "--listen"]).arg(listen.to_string());
        command.arg("--api").arg(api.to_string());
        command.arg("--admin").arg(admin.to_string());
        command.arg("--data-dir").arg(programs.directory.path().join("data"));
        programs.spawn("minerva", command).await?;
        let mut command = Command::new(app);
        command.arg("--api").arg(api.to_string());
        programs.spawn("app", command).await?;
        Ok(programs)
    }

    /// Address for clients.
    pub(crate) fn listen(&self) -> SocketAddr {
        self.listen
    }

    /// Fails if a program has ended.
    pub(crate) fn check(&mut self) -> Result<(), String> {
        for (name, child) in &mut self.children {
            if let Ok(Some(status)) = child.try_wait() {
                let log = tail(&log_path(&self.directory, name));
                return Err(format!("{name} ended ({status}); the end of its log:\n{log}"));
            }
        }
        Ok(())
    }

    async fn spawn(&mut self, name: &'static str, mut command: Command) -> anyhow::Result<()> {
        let path = log_path(&self.directory, name);
        let log = File::create(&path).context("no log file")?;
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log).kill_on_drop(true);
        let program = command.as_std().get_program().to_owned();
        let mut child = command.spawn().with_context(|| format!("cannot start {program:?}"))?;
        let Some(stdout) = child.stdout.take() else { bail!("{name} has no output") };
        let mut lines = BufReader::new(stdout).lines();
        match tokio::time::timeout(START, lines.next_line()).await {
            Ok(Ok(Some(_))) => {}
            Ok(_) => bail!("{name} ended before it was ready:\n{}", tail(&path)),
            Err(_) => bail!("{name} is not ready after {START:?}:\n{}", tail(&path)),
        }
        // Reading the pipe to the end keeps the program from blocking.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        self.children.push((name, child));
        Ok(())
    }
}

/// The path of a program in the directory of this program.
pub(crate) fn beside_this(path: &str) -> anyhow::Result<PathBuf> {
    let this = std::env::current_exe().context("cannot find this program's own path")?;
    let found = this.parent().map(|directory| directory.join(path)).filter(|path| path.exists());
    found.with_context(|| {
        format!("{path} is not beside this program: build the program, or give its path")
    })
}

fn log_path(directory: &TempDir, name: &str) -> PathBuf {
    directory.path().join(format!("{name}.log"))
}

fn tail(log: &Path) -> String {
    let text = std::fs::read(log).unwrap_or_default();
    String::from_utf8_lossy(&text[text.len().saturating_sub(SHOWN_LOG)..]).into_owned()
}

/// A free address below the ephemeral ports.
fn free_address() -> anyhow::Result<SocketAddr> {
    for _ in 0..100 {
        let port = 20_000 + (RandomState::new().hash_one(0) % 10_000) as u16;
        if let Ok(listener) = TcpListener::bind(("127.0.0.1", port)) {
            return listener.local_addr().context("no local address");
        }
    }
    bail!("no free port");
}

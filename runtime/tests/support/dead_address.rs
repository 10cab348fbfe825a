//! A name with two addresses of which the first, 127.0.0.1, drops SYNs: its accept queue is full. The name is in the
//! `/etc/hosts` of a mount namespace, so a test runs its own program again there. Used by tests of clients, cores and
//! applications.

use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket};

/// The name.
pub(crate) const NAME: &str = "first-is-dead.test";
/// The live address.
pub(crate) const LIVE: &str = "127.0.0.2";
/// Longest time to a connection: much more than the stagger, and less than the time limit of an attempt (10 s).
pub(crate) const SOON: Duration = Duration::from_secs(5);

const CHILD: &str = "MINERVA_TEST_DEAD_ADDRESS";

/// Returns true in the namespace. Elsewhere runs the test `path` there and asserts its success; without the permission for a
/// namespace, the test is skipped.
pub(crate) fn in_namespace(path: &str) -> bool {
    if std::env::var_os(CHILD).is_some() {
        return true;
    }
    let hosts = std::env::temp_dir().join(format!("minerva-hosts-{}", std::process::id()));
    std::fs::write(&hosts, format!("127.0.0.1 localhost\n127.0.0.1 {NAME}\n{LIVE} {NAME}\n"))
        .unwrap();
    let unshare = |script: &str| {
        let mut command = Command::new("unshare");
        command
            .args(["--mount", "sh", "-c", script])
            .arg(&hosts)
            .arg(std::env::current_exe().unwrap());
        command
    };
    let may = unshare("mount --bind \"$0\" /etc/hosts").output();
    if may.is_ok_and(|may| may.status.success()) {
        let mut command = unshare("mount --bind \"$0\" /etc/hosts && exec \"$@\"");
        let output =
            command.args([path, "--exact", "--nocapture"]).env(CHILD, "1").output().unwrap();
        let text =
            String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && text.contains("1 passed"), "{text}");
    } else {
        eprintln!("skipped: a mount namespace takes root");
    }
    let _ = std::fs::remove_file(hosts);
    false
}

/// Lets an address drop SYNs until the value is dropped.
pub(crate) fn drop_syns(address: SocketAddr) -> (TcpListener, Vec<TcpStream>) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(address).unwrap();
    let listener = socket.listen(0).unwrap();
    let address = listener.local_addr().unwrap();
    let limit = Duration::from_millis(300);
    let queued: Vec<_> =
        std::iter::from_fn(|| TcpStream::connect_timeout(&address, limit).ok()).take(100).collect();
    assert!(queued.len() < 100, "this system accepts connections beyond the backlog");
    (listener, queued)
}

/// Lets 127.0.0.1 drop SYNs at the port of the live address.
pub(crate) fn kill_first_address(port: u16) -> (TcpListener, Vec<TcpStream>) {
    drop_syns(SocketAddr::from(([127, 0, 0, 1], port)))
}

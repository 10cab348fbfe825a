//! `minerva-core` with Redis: start, takeover after a crash, `doctor`, and secrecy of the password.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use minerva_core::store::Epoch;
use minerva_proto::LogIndex;
use tokio::time::sleep;

use crate::cluster;
use crate::inspect::wait_for;
use crate::server::{Server, free_port, wait_until};

const CORE: &str = env!("CARGO_BIN_EXE_minerva-core");

/// Enough partitions for a random placement to assign some to each of two cores.
const PARTITIONS: usize = 32;

fn core(url: &str) -> Command {
    let mut command = Command::new(CORE);
    command.env("MINERVA_STORE", url).env("MINERVA_ADMIN", "127.0.0.1:0");
    command.args([
        "--link",
        "127.0.0.1:0",
        "--api",
        "127.0.0.1:0",
        "--partitions",
        &PARTITIONS.to_string(),
    ]);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Starts a core and reads the first line of the output.
fn start(url: &str) -> (Child, String) {
    let mut child = core(url).env("MINERVA_LOG", "debug").spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    (child, line)
}

/// Reads the log of a core until `count` partitions are served.
fn read_until_served(child: &mut Child, count: usize) -> String {
    let stderr = BufReader::new(child.stderr.as_mut().unwrap());
    let mut log = String::new();
    for line in stderr.lines() {
        log.push_str(&line.unwrap());
        log.push('\n');
        if log.matches("serving the partition").count() == count {
            break;
        }
    }
    log
}

/// Kills a core and returns the rest of the log.
fn kill(mut child: Child) -> String {
    child.kill().unwrap();
    let mut log = String::new();
    child.stderr.take().unwrap().read_to_string(&mut log).unwrap();
    child.wait().unwrap();
    log
}

#[test]
fn a_core_on_redis_takes_over_after_a_crash() {
    let server = Server::start(&["--requirepass", "canary"]);
    let url = format!("redis://:canary@127.0.0.1:{}/1", server.port);
    let (mut first, line) = start(&url);
    let store = format!("store redis://127.0.0.1:{}/1", server.port);
    assert!(line.contains("ready") && line.contains(&store), "{line}");
    // A core reports ready before the claims succeed.
    let log = read_until_served(&mut first, PARTITIONS);
    let mut logs = vec![line, log, kill(first)];
    assert!(logs[1].contains("Redis writes no append-only file"), "no warning: {}", logs[1]);
    let (mut second, line) = start(&url);
    assert!(line.contains("ready"), "{line}");
    let log = read_until_served(&mut second, PARTITIONS);
    assert!(log.contains("another core owns the partition"), "the core did not wait: {log}");
    logs.extend([line, log, kill(second)]);
    let wrong = core(&format!("redis://:wrong-canary@127.0.0.1:{}", server.port)).output().unwrap();
    assert_eq!(wrong.status.code(), Some(64));
    let help = core(&url).arg("--help").output().unwrap();
    let unreadable = core("redis://:canary@host:port").output().unwrap();
    assert_eq!(unreadable.status.code(), Some(64));
    for output in [wrong, help, unreadable] {
        logs.push(String::from_utf8_lossy(&output.stdout).into_owned());
        logs.push(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    for log in logs {
        assert!(!log.contains("canary"), "{log}");
    }
}

#[test]
fn an_outage_is_logged_once_per_cause() {
    let mut server = Server::start(&[]);
    let mut core = core(&server.url("")).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(core.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert!(line.contains("ready"), "{line}");
    server.kill();
    // The partitions of the core need a few renewals to notice.
    let mut stderr = BufReader::new(core.stderr.take().unwrap());
    let mut log = String::new();
    while log.matches("failed_calls=").count() < 3 {
        assert_ne!(stderr.read_line(&mut log).unwrap(), 0, "{log}");
    }
    core.kill().unwrap();
    stderr.read_to_string(&mut log).unwrap();
    core.wait().unwrap();
    let lines: Vec<&str> = log.lines().filter(|line| line.contains("WARN")).collect();
    assert!(lines.len() < 12, "{log}");
    let calls =
        lines.iter().filter_map(|line| line.split_once("failed_calls=")?.1.split(' ').next());
    let calls: u64 = calls.map(|count| count.parse::<u64>().unwrap()).sum();
    assert!(calls > PARTITIONS as u64 / 2, "the lines count the failures of all partitions: {log}");
}

/// Reads the log of a core into `log` until the text has come.
fn read_until(stderr: &mut impl BufRead, log: &mut String, text: &str) {
    while !log.contains(text) {
        assert_ne!(stderr.read_line(log).unwrap(), 0, "{log}");
    }
}

#[test]
fn a_changed_password_is_logged_once_with_its_reason() {
    let server = Server::start(&[]);
    let user = ["ACL", "SETUSER", "core", "on", ">canary", "~*", "&*", "+@all"];
    server.command(&user);
    let url = format!("redis://core:canary@127.0.0.1:{}", server.port);
    let mut core = core(&url).args(["--lease", "1s"]).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(core.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert!(line.contains("ready"), "{line}");
    server.command(&["ACL", "SETUSER", "core", "resetpass", ">other"]);
    server.command(&["CLIENT", "KILL", "USER", "core"]);
    let (mut stderr, mut log) = (BufReader::new(core.stderr.take().unwrap()), String::new());
    read_until(&mut stderr, &mut log, "WRONGPASS");
    // All partitions fail many times until then.
    std::thread::sleep(Duration::from_secs(3));
    server.command(&["ACL", "SETUSER", "core", ">canary"]);
    std::thread::sleep(Duration::from_secs(1));
    core.kill().unwrap();
    stderr.read_to_string(&mut log).unwrap();
    core.wait().unwrap();
    let lines: Vec<_> =
        log.lines().filter(|line| line.contains("WARN") || line.contains("ERROR")).collect();
    let reasons = lines.iter().filter(|line| line.contains("WRONGPASS")).count();
    // Heartbeats and calls of partitions are different causes; each is logged again at growing intervals.
    assert!((1..=6).contains(&reasons) && lines.len() < 14, "{reasons} of {}: {log}", lines.len());
    assert!(!log.contains("canary") && !log.contains("refuses us"), "{log}");
}

/// Another process that is no core holds the partition, as a hung owner does.
#[tokio::test]
async fn a_partition_without_an_owner_for_three_leases_is_logged_and_counted() {
    let server = Server::start(&[]);
    let holder = server.store("");
    holder.partitions(2).await.unwrap();
    let epoch = holder.claim(1, "holder", Epoch(0)).await.unwrap().epoch;
    let admin = free_port();
    let mut core = Command::new(CORE);
    core.env("MINERVA_STORE", server.url("")).stdout(Stdio::null()).stderr(Stdio::piped());
    core.args(["--link", "127.0.0.1:0", "--api", "127.0.0.1:0", "--partitions", "2"]);
    core.args(["--lease", "600ms", "--admin", &format!("127.0.0.1:{admin}")]);
    let mut core = core.spawn().unwrap();
    let mut stderr = BufReader::new(core.stderr.take().unwrap());
    let logged = tokio::task::spawn_blocking(move || {
        let mut log = String::new();
        read_until(&mut stderr, &mut log, "unserved for 3 leases");
        log
    });
    let lease = Duration::from_secs(2);
    while !logged.is_finished() {
        holder.renew(1, epoch.into(), lease, LogIndex(0)).await.unwrap();
        sleep(Duration::from_millis(100)).await;
    }
    let log = logged.await.unwrap();
    let line = log.lines().find(|line| line.contains("unserved for 3 leases")).unwrap();
    assert!(line.contains("WARN") && line.contains("partitions=1 first=1"), "{line}");
    wait_for(admin, "/metrics", "minerva_unserved_partitions 1").await;
    wait_for(admin, "/readyz", "unserved partitions: 1 (1)").await;
    holder.release(1, epoch).await.unwrap();
    wait_for(admin, "/metrics", "minerva_unserved_partitions 0").await;
    wait_for(admin, "/readyz", "200 OK").await;
    core.kill().unwrap();
    core.wait().unwrap();
}

fn terminate(child: &mut Child) -> Option<i32> {
    assert!(Command::new("kill").arg(child.id().to_string()).status().unwrap().success());
    child.wait().unwrap().code()
}

/// Ends a core whose partitions cannot be released; returns the exit code, and whether 10 s were enough.
#[allow(clippy::disallowed_methods, reason = "measures another process")]
fn terminate_in_time(child: &mut Child) -> (Option<i32>, bool) {
    let begun = std::time::Instant::now();
    (terminate(child), begun.elapsed() < Duration::from_secs(10))
}

#[test]
fn a_signal_ends_a_core_whose_redis_is_gone_or_hangs() {
    let ends = |break_it: fn(&mut Server)| {
        let mut server = Server::start(&[]);
        let (mut core, _) = start(&server.url(""));
        read_until_served(&mut core, PARTITIONS);
        let mut log = core.stderr.take().unwrap();
        let read = std::thread::spawn(move || log.read_to_end(&mut Vec::new()));
        break_it(&mut server);
        let ended = terminate_in_time(&mut core);
        read.join().unwrap().unwrap();
        ended
    };
    std::thread::scope(|scope| {
        let gone = scope.spawn(|| ends(Server::kill));
        let hanging = ends(|server| server.signal("STOP"));
        assert_eq!((gone.join().unwrap(), hanging), ((Some(0), true), (Some(0), true)));
    });
}

/// A core that was suspended beyond its leases, and has lost all partitions to another one in between.
#[test]
fn lost_partitions_are_logged_together() {
    let server = Server::start(&[]);
    let (mut core, _) = start(&server.url(""));
    read_until_served(&mut core, PARTITIONS);
    let signal = |name: &str| {
        let id = core.id().to_string();
        assert!(Command::new("kill").args(["-s", name, &id]).status().unwrap().success());
    };
    signal("STOP");
    let store = server.store("");
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        store.partitions(PARTITIONS as u32).await.unwrap();
        for partition in 0..PARTITIONS as u32 {
            crate::claim(&*store, partition, "another").await;
        }
    });
    signal("CONT");
    let mut lines = BufReader::new(core.stderr.take().unwrap()).lines().map(Result::unwrap);
    let text = "another core has claimed the partition";
    let first = lines.find(|line| line.contains(text)).unwrap();
    assert!(first.contains(" WARN "), "{first}");
    // Each partition is renewed within a second.
    std::thread::sleep(Duration::from_secs(2));
    core.kill().unwrap();
    core.wait().unwrap();
    let lines: Vec<String> = lines.filter(|line| line.contains(text)).collect();
    assert!(lines.len() < 4, "one line, and at growing intervals: {lines:?}");
}

/// Waits until a core reports that the store is missing.
fn wait_until_waiting(admin: &str) {
    wait_until("the core waits for the store", || {
        let health = Command::new(CORE).args(["health", "--admin", admin]).output().unwrap();
        assert_eq!(health.status.code(), Some(1));
        let reason = String::from_utf8(health.stderr).unwrap();
        reason.contains("not ready: waiting for the store: Redis at 127.0.0.1:")
    });
}

#[test]
fn a_core_waits_for_an_absent_redis_until_a_signal() {
    let port = free_port();
    let url = format!("redis://127.0.0.1:{port}");
    let start = || {
        let admin = format!("127.0.0.1:{}", free_port());
        let mut command = core(&url);
        command.env("MINERVA_ADMIN", &admin).stderr(Stdio::null());
        let child = command.spawn().unwrap();
        wait_until_waiting(&admin);
        child
    };
    assert_eq!(terminate(&mut start()), Some(0));
    let mut waiting = start();
    let _server = Server::start_at(port, &[]);
    let mut line = String::new();
    BufReader::new(waiting.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert!(line.contains("ready"), "{line}");
    assert_eq!(terminate(&mut waiting), Some(0));
}

/// The password has all characters that end a part of a URL, and a percent sign.
#[test]
fn a_password_apart_from_the_url_needs_no_encoding() {
    let password = "aB3/x@Y+z=?#%41:";
    let server = Server::start(&["--requirepass", password]);
    let url = format!("redis://127.0.0.1:{}", server.port);
    let mut command = core(&url);
    let mut child = command.env("MINERVA_STORE_PASSWORD", password).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert!(line.contains("ready"), "{line}");
    assert!(!(line + &kill(child)).contains("aB3"));
    let file = server.directory.path().join("password");
    std::fs::write(&file, format!("{password}\n")).unwrap();
    let with_file = |task: &[&str]| {
        let mut command = Command::new(CORE);
        command.args(task).args(["--store", &url, "--store-password-file"]).arg(&file);
        command.output().unwrap()
    };
    for task in [&["doctor"][..], &["store", "check"]] {
        let output = with_file(task);
        assert_eq!(output.status.code(), Some(0), "{task:?} {output:?}");
    }
    let in_url = core(&format!("redis://:{password}@127.0.0.1:{}", server.port)).output().unwrap();
    assert_eq!(in_url.status.code(), Some(64));
    let text = String::from_utf8(in_url.stderr).unwrap();
    assert!(text.contains("percent-encoded") && text.contains("MINERVA_STORE_PASSWORD"), "{text}");
    assert!(!text.contains("aB3"), "{text}");
    let user_alone = core(&url.replace("//", "//core@")).output().unwrap();
    assert_eq!(user_alone.status.code(), Some(64));
}

/// Exit code and output of `minerva-core doctor` for a store.
fn doctor(url: &str) -> (Option<i32>, String) {
    let mut command = Command::new(CORE);
    let output = command.args(["doctor", "--store", url]).output().unwrap();
    (output.status.code(), String::from_utf8(output.stdout).unwrap())
}

#[test]
fn doctor_reports_settings_and_fixes() {
    let mut server = Server::start(&["--requirepass", "canary", "--appendonly", "yes"]);
    let url = format!("redis://:canary@127.0.0.1:{}/1", server.port);
    let (code, report) = doctor(&url);
    assert_eq!(code, Some(0), "{report}");
    let server_name = format!("Redis at 127.0.0.1:{}", server.port);
    for line in [
        format!("ok    {server_name}, maxmemory-policy: noeviction\n"),
        format!("ok    {server_name}, scripts: loaded\n"),
        format!("ok    {server_name}, aof_last_write_status: ok\n"),
        format!("warn  {server_name}, appendfsync: everysec, "),
        format!("ok    {server_name}, clock: "),
    ] {
        assert!(report.contains(&line), "no `{line}` in:\n{report}");
    }
    assert_eq!(doctor(&format!("{url}?wait=1")).0, Some(1), "no replica can confirm");
    let (code, report) = doctor(&url.replace("canary", "wrong-canary"));
    assert!(
        code == Some(1) && report.contains("fail  Redis at") && report.contains("; fix: "),
        "{report}"
    );
    assert!(!report.contains("canary"), "{report}");
    server.kill();
    let (code, report) = doctor(&url);
    assert!(code == Some(1) && report.contains("cannot be reached"), "{report}");
    assert_eq!(doctor("redis://:canary@host:port").0, Some(64));
}

#[test]
fn doctor_rejects_the_servers_that_a_core_rejects() {
    let server = Server::start(&["--maxmemory-policy", "allkeys-lru"]);
    let (code, report) = doctor(&server.url(""));
    assert_eq!(code, Some(1), "{report}");
    assert!(report.contains("maxmemory-policy: allkeys-lru; fix: "), "{report}");
    let core = core(&server.url("")).output().unwrap();
    assert_eq!(core.status.code(), Some(64));
}

#[test]
fn doctor_checks_each_node_of_a_cluster() {
    let nodes = cluster::start();
    let (code, report) = doctor(&cluster::address(&nodes));
    assert_eq!(code, Some(0), "{report}");
    for node in &nodes {
        let line = format!("ok    Redis at 127.0.0.1:{}, cluster: yes\n", node.port);
        assert!(report.contains(&line), "no `{line}` in:\n{report}");
    }
    let one = format!("redis://127.0.0.1:{}", nodes[0].port);
    assert_eq!(doctor(&one).0, Some(1), "a core rejects a single cluster node, too");
}

//! Order, delays and errors of the attempts, with an injected connector and a paused clock.
#![expect(clippy::disallowed_methods, reason = "the clock of the tests is paused")]

use std::sync::Mutex;

use tokio::time::Instant;

use super::*;

const LIMIT: Duration = Duration::from_secs(5);

/// Result of an attempt: after a time, success or a refusal; `None` if packets are dropped.
type Script = Option<(Duration, bool)>;

const DROPS: Script = None;
const fn answers(after: u64) -> Script {
    Some((Duration::from_millis(after), true))
}
const fn refuses(after: u64) -> Script {
    Some((Duration::from_millis(after), false))
}

/// Attempts in the order of their start: index of the address and milliseconds since the start.
type Started = Vec<(usize, u64)>;

/// Races one address per script. Returns the winner or the failures, the starts, and the total time.
async fn run(scripts: &[Script]) -> (Result<usize, Vec<FailedAttempt>>, Started, u64) {
    let addresses: Vec<_> = (0..scripts.len()).map(|index| v4(index as u8)).collect();
    let start = Instant::now();
    let elapsed = || u64::try_from(start.elapsed().as_millis()).unwrap();
    let started = Mutex::new(Vec::new());
    let connect = |address: SocketAddr| {
        let index = addresses.iter().position(|other| *other == address).unwrap();
        started.lock().unwrap().push((index, elapsed()));
        async move {
            let Some((after, is_success)) = scripts[index] else {
                return std::future::pending().await;
            };
            sleep(after).await;
            if is_success { Ok(index) } else { Err(io::ErrorKind::ConnectionRefused.into()) }
        }
    };
    let outcome = race(addresses.clone(), LIMIT, connect).await;
    let total = elapsed();
    (outcome, started.into_inner().unwrap(), total)
}

fn v4(last: u8) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, last], 80))
}

fn v6(last: u16) -> SocketAddr {
    SocketAddr::from(([0x2001, 0xdb8, 0, 0, 0, 0, 0, last], 80))
}

#[tokio::test(start_paused = true)]
async fn an_address_that_drops_packets_delays_the_connection_by_the_stagger() {
    let (outcome, started, total) = run(&[DROPS, answers(30)]).await;
    assert_eq!((outcome.unwrap(), started, total), (1, vec![(0, 0), (1, 250)], 280));
    let (outcome, started, total) = run(&[DROPS, DROPS, answers(1)]).await;
    assert_eq!((outcome.unwrap(), started, total), (2, vec![(0, 0), (1, 250), (2, 500)], 501));
}

#[tokio::test(start_paused = true)]
async fn a_refusal_starts_the_next_attempt_at_once() {
    let (outcome, started, total) = run(&[refuses(10), refuses(0), answers(5)]).await;
    assert_eq!((outcome.unwrap(), started, total), (2, vec![(0, 0), (1, 10), (2, 10)], 15));
}

#[tokio::test(start_paused = true)]
async fn a_fast_address_is_the_only_attempt() {
    let (outcome, started, total) = run(&[answers(249), answers(0)]).await;
    assert_eq!((outcome.unwrap(), started, total), (0, vec![(0, 0)], 249));
}

#[tokio::test(start_paused = true)]
async fn a_slow_address_may_still_win() {
    let (outcome, started, _) = run(&[answers(400), answers(300)]).await;
    assert_eq!((outcome.unwrap(), started.len()), (0, 2));
}

#[tokio::test(start_paused = true)]
async fn an_attempt_ends_at_the_limit_and_every_failure_is_reported() {
    let (outcome, _, total) = run(&[DROPS, refuses(1)]).await;
    let failed = outcome.unwrap_err();
    let seen: Vec<_> =
        failed.iter().map(|attempt| (attempt.address, attempt.error.kind())).collect();
    let expected = [(v4(1), io::ErrorKind::ConnectionRefused), (v4(0), io::ErrorKind::TimedOut)];
    assert_eq!((&seen[..], total), (&expected[..], 5000));
    let error = DialError::Attempts(failed);
    assert!(!error.is_timeout());
    let text =
        "cannot connect: 192.0.2.1:80: connection refused; 192.0.2.0:80: no answer within 5 s";
    assert_eq!(error.to_string(), text);
    assert_eq!(io::Error::from(error).kind(), io::ErrorKind::ConnectionRefused);
    let (outcome, ..) = run(&[DROPS, DROPS]).await;
    assert!(DialError::Attempts(outcome.unwrap_err()).is_timeout());
}

#[test]
fn families_alternate_from_the_family_of_the_first_address() {
    let found = [v6(1), v6(2), v6(3), v4(1), v6(1), v4(2)];
    assert_eq!(interleave(found), [v6(1), v4(1), v6(2), v4(2), v6(3)]);
    assert_eq!(interleave([v4(1), v6(1), v6(2)]), [v4(1), v6(1), v6(2)]);
    for count in [MAX_ATTEMPTS - 1, MAX_ATTEMPTS, MAX_ATTEMPTS + 1] {
        let found = (0..count as u8).map(v4);
        assert_eq!(interleave(found).len(), count.min(MAX_ATTEMPTS));
    }
    assert_eq!(interleave([]), []);
}

#[tokio::test]
async fn a_listening_address_is_connected() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let connection = connect("127.0.0.1", port, LIMIT).await.unwrap();
    assert_eq!(connection.peer_addr().unwrap().port(), port);
}

#[tokio::test]
async fn an_unknown_name_is_reported_with_the_name() {
    let error = connect("unknown.invalid", 80, LIMIT).await.unwrap_err();
    assert!(error.to_string().starts_with("cannot resolve unknown.invalid: "), "{error}");
}

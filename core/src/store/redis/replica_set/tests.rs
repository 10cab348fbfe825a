//! Confirmation rules with replicas that disconnect, fall behind, join and are promoted.

use super::*;

const HOLD: Duration = Duration::from_secs(5);
const WAIT: Duration = Duration::from_secs(1);

fn node(port: u16) -> Node {
    Node { host: "h".to_owned(), port }
}

/// The state of a server whose replicas have acknowledged these offsets.
fn state(offset: u64, replicas: &[(u16, u64)]) -> Replication {
    Replication {
        is_primary: true,
        is_failing_over: false,
        id: "one".to_owned(),
        offset,
        replicas: replicas.iter().map(|(port, offset)| (node(*port), *offset)).collect(),
    }
}

struct Server {
    set: ReplicaSet,
    begin: Instant,
}

impl Server {
    fn new(least: usize, known: &[u16], found: &Replication) -> Self {
        let begin = crate::clock::now();
        let mut set = ReplicaSet::new(least, Limits { wait: WAIT, hold: HOLD });
        let known: Vec<_> = known.iter().map(|port| node(*port)).collect();
        set.on_connected(found, &known, begin);
        Self { set, begin }
    }

    fn at(&self, ms: u64) -> Instant {
        self.begin + Duration::from_millis(ms)
    }

    /// Ports of the required replicas.
    fn required(&self) -> Vec<u16> {
        self.set.required.iter().map(|node| node.port).collect()
    }

    /// Appends at a time in milliseconds; the server replies with a number of confirmations and its state.
    fn append(
        &mut self,
        ms: u64,
        before: u64,
        confirmed: usize,
        after: &Replication,
    ) -> Result<(), Unconfirmed> {
        let requirement = self.set.requirement();
        let before = requirement.has_offsets.then(|| state(before, &[]));
        let result = requirement.check_state(Some(confirmed), before.as_ref(), after);
        let now = self.at(ms);
        self.set.observe(before.as_ref(), after, result.is_ok(), now);
        result
    }

    fn release(&mut self, ms: u64) -> Vec<u16> {
        let now = self.at(ms);
        let released = self.set.release_expired(now);
        released.iter().map(|node| node.port).collect()
    }
}

fn commands(requirement: &Requirement) -> String {
    let mut pipeline = Pipeline::new();
    requirement.add_to(&mut pipeline, WAIT);
    let text = String::from_utf8(pipeline.get_packed_pipeline()).unwrap();
    text.split("\r\n").filter(|part| !part.starts_with(['*', '$'])).collect::<Vec<_>>().join(" ")
}

#[test]
fn all_connected_replicas_confirm() {
    let mut server = Server::new(1, &[], &state(0, &[(1, 0), (2, 0)]));
    assert_eq!(commands(&server.set.requirement()), "WAIT 2 1000 INFO replication ");
    assert_eq!(server.append(1, 0, 2, &state(10, &[(1, 10), (2, 10)])), Ok(()));
    let one = server.append(2, 0, 1, &state(20, &[(1, 20), (2, 10)]));
    assert_eq!(one, Err(Unconfirmed::TooFew { confirmed: 1, required: 2 }));
}

#[test]
fn the_least_number_holds_without_replicas() {
    let mut server = Server::new(2, &[], &state(0, &[(1, 0)]));
    let one = server.append(1, 0, 1, &state(10, &[(1, 10)]));
    assert_eq!(one, Err(Unconfirmed::TooFew { confirmed: 1, required: 2 }));
    assert_eq!(server.append(3, 10, 2, &state(10, &[(1, 10), (2, 10)])), Ok(()));
}

/// The promoted replica closes its connection; the other replica still confirms.
#[test]
fn a_disconnected_replica_holds_the_appends() {
    let mut server = Server::new(1, &[], &state(0, &[(1, 0), (2, 0)]));
    let gone = Err(Unconfirmed::Disconnected(node(1)));
    assert_eq!(server.append(100, 0, 1, &state(10, &[(2, 10)])), gone);
    assert_eq!(
        commands(&server.set.requirement()),
        "INFO replication WAIT 1 1000 INFO replication "
    );
    for (ms, released) in [(5098, vec![]), (5099, vec![]), (5100, vec![1])] {
        assert_eq!(server.append(ms, 10, 1, &state(10, &[(2, 10)])), gone, "{ms}");
        assert_eq!(server.release(ms), released, "{ms}");
    }
    assert_eq!(server.append(5101, 10, 1, &state(20, &[(2, 20)])), Ok(()));
    assert_eq!(server.required(), [2]);
}

#[test]
fn a_confirmation_before_the_disconnection_counts() {
    let mut server = Server::new(1, &[], &state(0, &[(1, 0), (2, 0)]));
    assert_eq!(server.append(1, 0, 2, &state(10, &[(2, 10)])), Ok(()));
    assert_eq!(
        server.append(2, 0, 1, &state(20, &[(2, 20)])),
        Err(Unconfirmed::Disconnected(node(1)))
    );
}

#[test]
fn a_replica_that_returns_is_not_released() {
    let mut server = Server::new(1, &[], &state(0, &[(1, 0), (2, 0)]));
    assert!(server.append(0, 0, 1, &state(10, &[(2, 10)])).is_err());
    assert!(server.append(4000, 10, 1, &state(10, &[(1, 0), (2, 10)])).is_err());
    assert_eq!(server.append(4500, 10, 2, &state(20, &[(1, 20), (2, 20)])), Ok(()));
    assert_eq!(server.release(9000), [0; 0]);
    assert_eq!(server.required(), [1, 2]);
}

/// A replica that returns again and again without a confirmation stops the appends for one hold only.
#[test]
fn a_flapping_replica_is_released() {
    let mut server = Server::new(1, &[], &state(0, &[(1, 0), (2, 0)]));
    for ms in (0..5000).step_by(500) {
        let connected: &[(u16, u64)] = if ms % 1000 == 0 { &[(2, 10)] } else { &[(1, 0), (2, 10)] };
        assert!(server.append(ms, 10, 1, &state(10, connected)).is_err());
        assert_eq!(server.release(ms), [0; 0]);
    }
    assert_eq!(server.release(5000), [1]);
    assert_eq!(server.append(5001, 10, 1, &state(20, &[(1, 0), (2, 20)])), Ok(()));
}

/// A suspended or slow replica is connected and confirms nothing in time.
#[test]
fn a_replica_behind_is_released_and_required_again_after_it_has_caught_up() {
    let mut server = Server::new(1, &[], &state(0, &[(1, 0), (2, 0)]));
    let mut offset = 0u64;
    for ms in [0, 1000, 2000, 3000, 4000, 5000, 5999] {
        offset += 10;
        // The slow replica has each append two seconds later, and thus confirms none in time.
        let late = offset.saturating_sub(20);
        let result = server.append(ms, offset, 1, &state(offset, &[(1, late), (2, offset)]));
        assert_eq!(result, Err(Unconfirmed::TooFew { confirmed: 1, required: 2 }), "{ms}");
        assert_eq!(server.release(ms), [0; 0], "{ms}");
    }
    // The first failure made the cause known to the second one, at 1000 ms.
    assert_eq!(server.release(6000), [1]);
    assert_eq!(server.append(6001, 80, 1, &state(80, &[(1, 60), (2, 80)])), Ok(()));
    assert_eq!(
        commands(&server.set.requirement()),
        "INFO replication WAIT 1 1000 INFO replication "
    );
    for ms in (7000..10_000).step_by(500) {
        let slow = state(ms, &[(1, ms - 2000), (2, ms)]);
        assert_eq!(server.append(ms, ms, 1, &slow), Ok(()));
        assert_eq!(server.required(), [2]);
    }
    assert_eq!(
        server.append(10_000, 10_000, 2, &state(10_000, &[(1, 10_000), (2, 10_000)])),
        Ok(())
    );
    assert_eq!(server.required(), [1, 2]);
}

/// The number of confirmations can come from the released replica instead of the required one.
#[test]
fn with_other_replicas_the_offsets_decide() {
    let mut server = Server::new(1, &[], &state(0, &[(1, 0)]));
    assert_eq!(server.append(1, 0, 2, &state(10, &[(1, 10), (3, 0)])), Ok(()));
    assert_eq!(server.required(), [1]);
    let result = server.append(2, 20, 1, &state(20, &[(1, 10), (3, 5)]));
    assert_eq!(result, Err(Unconfirmed::TooFew { confirmed: 1, required: 2 }));
    assert_eq!(server.append(3, 20, 1, &state(20, &[(1, 20), (3, 5)])), Ok(()));
}

#[test]
fn a_new_replica_is_required_once_it_has_caught_up() {
    let mut server = Server::new(1, &[], &state(0, &[(1, 0)]));
    assert_eq!(
        server.append(0, 0, 1, &state(100, &[(1, 100), (2, 0)])),
        Err(Unconfirmed::TooFew { confirmed: 1, required: 2 })
    );
    for (ms, offset, required) in [(1, 50, vec![1]), (2, 99, vec![1]), (3, 100, vec![1, 2])] {
        assert_eq!(server.append(ms, 100, 1, &state(200, &[(1, 200), (2, offset)])), Ok(()));
        assert_eq!(server.required(), required, "{offset}");
    }
}

#[test]
fn replicas_known_to_the_sentinels_are_required() {
    let mut server = Server::new(1, &[1, 2], &state(0, &[(2, 0)]));
    assert_eq!(server.required(), [2, 1]);
    let gone = Err(Unconfirmed::Disconnected(node(1)));
    assert_eq!(server.append(0, 0, 1, &state(10, &[(2, 10)])), gone);
    assert_eq!(server.release(4999), [0; 0]);
    assert_eq!(server.release(5000), [1]);
}

#[test]
fn replicas_with_other_names_at_the_sentinels_are_ignored() {
    let required =
        |known: &[u16], found: &[(u16, u64)]| Server::new(1, known, &state(0, found)).required();
    assert_eq!(required(&[11, 12], &[(1, 0), (2, 0)]), [1, 2]);
    assert_eq!(required(&[11, 2], &[(1, 0), (2, 0)]), [1, 2, 11]);
    assert_eq!(required(&[11, 12], &[]), [11, 12]);
}

#[test]
fn a_demoted_or_promoted_server_confirms_nothing() {
    let mut server = Server::new(1, &[], &state(0, &[(1, 0)]));
    let good = state(10, &[(1, 10)]);
    let replica = Replication { is_primary: false, ..good.clone() };
    let other = Replication { id: "two".to_owned(), ..good.clone() };
    let failing_over = Replication { is_failing_over: true, ..good.clone() };
    assert_eq!(server.append(1, 0, 1, &replica), Err(Unconfirmed::NotPrimary));
    assert_eq!(server.append(1, 0, 1, &other), Err(Unconfirmed::NotPrimary));
    assert_eq!(server.append(1, 0, 1, &failing_over), Err(Unconfirmed::FailingOver));
    assert_eq!(server.append(1, 0, 1, &good), Ok(()));
}

#[test]
fn a_connection_to_the_same_data_keeps_the_replicas() {
    let mut server = Server::new(1, &[], &state(0, &[(1, 0), (2, 0)]));
    server.set.on_connected(&state(10, &[(2, 10)]), &[], server.at(100));
    assert_eq!(server.required(), [1, 2]);
    let other = Replication { id: "two".to_owned(), ..state(10, &[(2, 10)]) };
    server.set.on_connected(&other, &[], server.at(100));
    assert_eq!(server.required(), [2]);
}

#[test]
fn replies_are_taken_from_the_end() {
    let server = Server::new(1, &[], &state(0, &[(1, 0)]));
    let requirement = server.set.requirement();
    let info = "role:master\r\nmaster_replid:one\r\nslave0:ip=h,port=1,state=online,offset=1\r\n";
    let info = Value::BulkString(info.into());
    let mut values = vec![Value::Okay, Value::Int(1), info.clone()];
    assert_eq!(requirement.check(&mut values).result, Ok(()));
    assert_eq!(values, [Value::Okay]);
    for (mut values, error) in [
        (vec![Value::Okay, Value::Nil, info], Unconfirmed::NoReply),
        (vec![Value::Okay, Value::Int(1), Value::Nil], Unconfirmed::NoReply),
        (vec![], Unconfirmed::NoReply),
    ] {
        assert_eq!(requirement.check(&mut values).result, Err(error));
    }
}

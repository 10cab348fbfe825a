//! Confirmation rules with replicas that disconnect, fall behind, join and are promoted.

use super::*;

const HOLD: Duration = Duration::from_secs(5);
const WAIT: Duration = Duration::from_secs(1);

fn node(port: u16) -> Node {
    Node { host: "h".to_owned(), port }
}

/// The address of the server.
const SERVER: u16 = 100;

/// The state of a server whose replicas have acknowledged these offsets.
fn state(offset: u64, replicas: &[(u16, u64)]) -> Replication {
    Replication {
        max_lag_s: 0,
        is_primary: true,
        is_failing_over: false,
        id: "one".to_owned(),
        previous_id: "0000".to_owned(),
        offset,
        replicas: replicas.iter().map(|(port, offset)| (node(*port).into(), *offset)).collect(),
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
        set.on_connected(&node(SERVER), found, &known, begin);
        Self { set, begin }
    }

    fn at(&self, ms: u64) -> Instant {
        self.begin + Duration::from_millis(ms)
    }

    /// Ports of the required replicas.
    fn required(&self) -> Vec<u16> {
        self.set.required.iter().map(|replica| replica.node.port).collect()
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
        released.iter().map(|replica| replica.node.port).collect()
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
    let gone = Err(Unconfirmed::Disconnected(node(1).into()));
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
        Err(Unconfirmed::Disconnected(node(1).into()))
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
    let gone = Err(Unconfirmed::Disconnected(node(1).into()));
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
    let now = server.at(100);
    server.set.on_connected(&node(SERVER), &state(10, &[(2, 10)]), &[], now);
    assert_eq!(server.required(), [1, 2]);
}

/// The state of a replica after the promotion.
fn promoted(offset: u64, replicas: &[(u16, u64)]) -> Replication {
    let (id, previous_id) = ("two".to_owned(), "one".to_owned());
    Replication { id, previous_id, ..state(offset, replicas) }
}

/// The other replicas connect one after the other; each may be promoted next.
#[test]
fn a_promoted_replica_requires_the_other_replicas() {
    let mut server = Server::new(1, &[], &state(0, &[(1, 0), (2, 0), (3, 0)]));
    let now = server.at(100);
    server.set.on_connected(&node(1), &promoted(10, &[(2, 10)]), &[], now);
    assert_eq!(server.required(), [2, 3]);
    let gone = Err(Unconfirmed::Disconnected(node(3).into()));
    assert_eq!(server.append(200, 10, 1, &promoted(20, &[(2, 20)])), gone);
    assert_eq!(server.release(5099), [0; 0]);
    assert_eq!(server.append(5099, 20, 2, &promoted(30, &[(2, 30), (3, 30)])), Ok(()));
    assert_eq!(server.release(20_000), [0; 0]);
    assert_eq!(server.required(), [2, 3]);
}

#[test]
fn a_missing_replica_of_a_promoted_one_is_released_after_the_hold() {
    let mut server = Server::new(1, &[], &state(0, &[(1, 0), (2, 0), (3, 0)]));
    let now = server.at(100);
    server.set.on_connected(&node(1), &promoted(10, &[(2, 10)]), &[], now);
    assert!(server.append(200, 10, 1, &promoted(20, &[(2, 20)])).is_err());
    assert_eq!((server.release(5099), server.release(5100)), (vec![], vec![3]));
}

/// The address in `--store` is a name that moves to the new primary.
#[test]
fn a_promoted_replica_under_another_address_does_not_require_itself() {
    for (count, connected, required) in [
        (1, &[][..], vec![]),
        (2, &[2][..], vec![2]),
        (2, &[][..], vec![1, 2]),
        (3, &[2][..], vec![1, 2, 3]),
    ] {
        let replicas = |ports: &[u16]| ports.iter().map(|port| (*port, 10)).collect::<Vec<_>>();
        let all: Vec<u16> = (1..=count).collect();
        let mut server = Server::new(1, &[], &state(10, &replicas(&all)));
        let now = server.at(100);
        server.set.on_connected(&node(SERVER), &promoted(10, &replicas(connected)), &[], now);
        assert_eq!(server.required(), required, "{count} {connected:?}");
    }
}

/// A restarted primary has another data set that is no promotion.
#[test]
fn another_data_set_requires_the_known_replicas() {
    let mut server = Server::new(1, &[], &state(0, &[(1, 0), (2, 0)]));
    let now = server.at(100);
    let other = Replication { id: "two".to_owned(), ..state(10, &[(2, 10)]) };
    server.set.on_connected(&node(SERVER), &other, &[], now);
    assert_eq!(server.required(), [1, 2]);
}

/// The replica may have been promoted since its last disconnection, not since the first one.
#[test]
fn the_hold_begins_anew_with_each_disconnection() {
    let mut server = Server::new(1, &[], &state(0, &[(1, 0), (2, 0)]));
    for (ms, is_connected) in [(0, false), (4000, true), (4900, false)] {
        let connected: &[(u16, u64)] = if is_connected { &[(1, 0), (2, 10)] } else { &[(2, 10)] };
        assert!(server.append(ms, 10, 1, &state(10, connected)).is_err());
    }
    for (ms, released) in [(5000, vec![]), (9899, vec![]), (9900, vec![1])] {
        assert_eq!(server.release(ms), released, "{ms}");
    }
}

#[test]
fn a_new_connection_begins_the_hold_anew() {
    let mut server = Server::new(1, &[], &state(0, &[(1, 0), (2, 0)]));
    assert!(server.append(0, 0, 1, &state(10, &[(2, 10)])).is_err());
    let now = server.at(4000);
    server.set.on_connected(&node(SERVER), &state(10, &[(2, 10)]), &[], now);
    assert_eq!((server.release(8999), server.release(9000)), (vec![], vec![1]));
}

/// Behind one address translation, both replicas announce the address of the translation.
#[test]
fn two_replicas_of_one_address_count_as_two() {
    let both = |one: u64, two: u64| {
        let line =
            |at, offset| format!("slave{at}:ip=h,port=1,state=online,offset={offset},lag=0\r\n");
        let head = "role:master\r\nmaster_failover_state:no-failover\r\nmaster_replid:one\r\n";
        let info = format!("{head}master_repl_offset:10\r\n{}{}", line(0, one), line(1, two));
        Replication::parse(&info)
    };
    let mut server = Server::new(1, &[], &both(0, 0));
    assert_eq!(server.required(), [1, 1]);
    assert!(commands(&server.set.requirement()).starts_with("WAIT 2 "));
    let one = Err(Unconfirmed::TooFew { confirmed: 1, required: 2 });
    assert_eq!(server.append(1, 10, 1, &both(0, 10)), one);
    assert_eq!(server.append(2, 10, 1, &both(10, 0)), one);
    assert_eq!(server.append(3, 10, 2, &both(10, 10)), Ok(()));
    let gone = Replica { node: node(1), rank: 1 };
    let result = server.append(4, 10, 1, &state(10, &[(1, 10)]));
    assert_eq!(result, Err(Unconfirmed::Disconnected(gone)));
    assert_eq!((server.release(5003), server.release(5004)), (vec![], vec![1]));
    assert_eq!(server.append(5005, 10, 1, &state(20, &[(1, 20)])), Ok(()));
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

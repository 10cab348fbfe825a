//! The pause before the next attempt, and the problem that the application sees meanwhile.

use minerva_proto::v3::RefusalCode;

use super::*;
use crate::problem::ProblemCode;

#[test]
fn the_back_off_grows_to_a_cap_and_never_gives_up() {
    let mut machine = machine(TransportKind::Tcp);
    let mut now = Time::ZERO;
    for _ in 0..100 {
        let (number, ..) = opened(&mut machine);
        machine.on_end(now, number, End::Failed);
        assert_eq!(machine.next_output(), None);
        let next = machine.next_timeout(now).unwrap();
        assert!(next - now <= 3 * SECOND);
        now = next;
        machine.on_timeout(now);
    }
    assert_eq!(machine.counters().reconnects, 100);
    assert!(now > 60 * SECOND, "100 failures within {now:?}");
}

#[test]
fn the_next_attempt_follows_after_the_time_that_the_server_asks_for() {
    let mut machine = machine(TransportKind::WebSocket);
    let (number, ..) = opened(&mut machine);
    machine.on_refused(Time::ZERO, Role::Primary, 5 * SECOND);
    machine.on_end(Time::ZERO, number, End::Failed);
    let next = machine.next_timeout(Time::ZERO).unwrap();
    assert!(next >= 5 * SECOND && next <= 7 * SECOND, "{next:?}");
    machine.on_timeout(next - Time::from_millis(1));
    assert_eq!(machine.next_output(), None);
    machine.on_timeout(next);
    let (number, ..) = opened(&mut machine);
    machine.on_end(next, number, End::Failed);
    let next = machine.next_timeout(next).unwrap() - next;
    assert!(next <= 3 * SECOND, "the regular back-off: {next:?}");
}

#[test]
fn the_delay_of_one_server_does_not_hold_the_attempts_at_others() {
    let config = Config { address: "a:1, b:1".into(), ..config(TransportKind::WebSocket) };
    let mut machine = StreamMachine::new(config, id(), key(), 12345);
    machine.on_timeout(Time::ZERO);
    let (number, ..) = opened(&mut machine);
    machine.on_refused(Time::ZERO, Role::Primary, 60 * SECOND);
    machine.on_end(Time::ZERO, number, End::Failed);
    let next = machine.next_timeout(Time::ZERO).unwrap();
    assert!(next <= 3 * SECOND, "the regular back-off: {next:?}");
    machine.on_timeout(next);
    let output = machine.next_output();
    assert!(matches!(output, Some(Output::Open { server: 1, .. })), "{output:?}");
}

#[test]
fn an_expired_back_off_stays_due() {
    let mut machine = machine(TransportKind::Tcp);
    let (number, ..) = opened(&mut machine);
    machine.on_end(Time::ZERO, number, End::Failed);
    let next = machine.next_timeout(Time::ZERO).unwrap();
    // Another event wakes the driver at the deadline.
    assert_eq!(machine.next_timeout(next), Some(next));
    machine.on_timeout(next);
    opened(&mut machine);
}

#[test]
fn refusals_for_the_configuration_stop_attempts_for_growing_times() {
    let mut machine = machine(TransportKind::WebSocket);
    let mut now = Time::ZERO;
    for (code, least) in [
        (ProblemCode::Refused(RefusalCode::Origin), 5),
        (ProblemCode::Refused(RefusalCode::Origin), 10),
        (ProblemCode::Refused(RefusalCode::Origin), 20),
        (ProblemCode::Proxy, 0),
        (ProblemCode::Refused(RefusalCode::Service), 5),
    ] {
        let (number, ..) = opened(&mut machine);
        machine.on_problem(number, Problem::new(code, "no"));
        machine.on_end(now, number, End::Failed);
        let next = machine.next_timeout(now).unwrap();
        let (wait, least) = (next - now, least * SECOND);
        assert!(wait >= least && wait <= least.mul_f64(1.25).max(3 * SECOND), "{code} {wait:?}");
        now = next;
        machine.on_timeout(now);
    }
}

#[test]
fn a_stream_with_a_transport_has_no_problem() {
    let failure = || Problem::new(ProblemCode::Proxy, "502");
    let (mut machine, primary, upload) = uploading();
    machine.on_problem(upload, failure());
    machine.on_end(Time::ZERO, upload, End::Failed);
    assert_eq!(machine.problem(), None);
    machine.on_end(Time::ZERO, primary, End::Finished);
    assert_eq!(machine.problem(), None, "that of the upload is over");
    machine.on_timeout(SECOND);
    let Some(Output::Open { number, role: Role::Primary, .. }) = machine.next_output() else {
        panic!("no primary")
    };
    machine.on_problem(number, failure());
    machine.on_end(SECOND, number, End::Failed);
    assert_eq!(machine.problem(), Some(&failure()));
}

#[test]
fn the_failure_of_a_replaced_transport_is_no_problem() {
    let mut machine = machine(TransportKind::Tcp);
    let (old, ..) = opened(&mut machine);
    receive(&mut machine, old, &["C"]);
    machine.switch(Time::ZERO, TransportKind::WebSocket);
    let (new, ..) = opened(&mut machine);
    receive(&mut machine, new, &["beat^"]);
    machine.on_problem(old, Problem::new(ProblemCode::Network, "reset"));
    machine.on_end(Time::ZERO, old, End::Failed);
    machine.on_end(Time::ZERO, new, End::Failed);
    assert_eq!((machine.active_kind(), machine.problem()), (None, None));
}

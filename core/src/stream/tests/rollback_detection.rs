//! A store that went back in time, seen by clients and edges that know better; and ends that nobody
//! acknowledges.

use minerva_proto::Sack;

use super::bench::{Bench, batch, bytes, primary, push, sack, sacks, secondary};
use crate::limits::Limits;
use crate::stream::{Attach, PushOutcome, Resume, Stream};

/// A stream that has received and sent two strings, as a new owner has it.
fn recovered() -> Bench {
    let mut bench = live();
    bench.crash();
    bench
}

fn live() -> Bench {
    let mut bench = Bench::with_primary();
    bench.assign(1000);
    bench.batch(batch(0, 0, &["a", "b"]));
    bench.batch(batch(0, 3, &["d"]));
    bench.send(0, &["x", "y"]);
    bench
}

fn resumed(next_s2c: u64) -> Attach {
    Attach { resume: Some(Resume { stream: 7, next_s2c: Some(next_s2c) }), ..primary(1) }
}

#[test]
fn a_client_that_has_seen_more_proves_the_loss() {
    let seen = |text| Attach { seen_ack: sack(text), ..secondary(1) };
    let has = |text| Attach { sack: Some(sack(text)), ..secondary(1) };
    let cases = [
        (seen("|1"), false),
        (seen("3|1"), false),
        (seen("|2"), true),
        (seen("4|1"), true),
        (seen("|3"), true),
        (has("|1"), false),
        (has("1|-1"), false),
        (has("|2"), true),
        (has("2|1"), true),
        (resumed(2), false),
        (resumed(3), true),
    ];
    for (attach, is_lost) in cases {
        let mut bench = recovered();
        let shown = format!("{attach:?}");
        let says = bench.attach(attach.clone());
        assert_eq!(says == ["1 close state lost|0!"], is_lost, "{shown}: {says:?}");
        assert_eq!(bench.stream.state().is_ended(), is_lost);
        let mut bench = live();
        bench.attach(attach);
        assert!(!bench.stream.state().is_ended(), "nothing can be lost: {shown}");
    }
}

/// Others may have got the numbers of what was lost before the client comes back.
#[test]
fn numbers_that_were_given_again_hide_no_loss() {
    let has = |text| Attach { sack: Some(sack(text)), ..secondary(1) };
    for (attach, is_lost) in [
        (has("|1"), false),
        (has("|2"), true),
        (has("3|1"), true),
        (resumed(2), false),
        (resumed(3), true),
    ] {
        let mut bench = recovered();
        let messages = bytes(&["other 2", "other 3", "other 4"]);
        bench.says(|stream, turn| {
            assert_eq!(stream.on_push(&push(messages, None), turn), PushOutcome::Taken);
        });
        let shown = format!("{attach:?}");
        bench.attach(attach);
        assert_eq!(bench.stream.state().is_ended(), is_lost, "{shown}");
    }
    // Once they are written, the client has them.
    let mut bench = recovered();
    bench.says(|stream, turn| {
        assert_eq!(stream.on_push(&push(bytes(&["other 2"]), None), turn), PushOutcome::Taken);
    });
    bench.attach(primary(1));
    bench.batch(sacks(1, &["|2"]));
    assert!(!bench.stream.state().is_ended());
}

#[test]
fn a_sack_of_strings_that_the_store_forgot_proves_the_loss() {
    let mut bench = recovered();
    bench.assign(1000);
    bench.attach(primary(1));
    let says = bench.batch(sacks(1, &["|2"]));
    assert_eq!(says[0], "1 close state lost|0!");
    let end = "app event 3: ended state lost|0 by Core".to_owned();
    assert!(says.contains(&end), "{says:?}");
}

#[test]
fn an_end_that_nobody_acknowledges_is_forgotten_in_time() {
    for is_recovered in [false, true] {
        let mut bench = live();
        bench.limits = Limits { keep_ended: std::time::Duration::from_secs(10), ..bench.limits };
        bench.reset("over");
        if is_recovered {
            bench.stream = Stream::recover(7, bench.rebuilt(), bench.now);
        }
        assert_eq!(bench.wait(9_999), [""; 0]);
        assert!(!bench.stream.state().inbox().is_done());
        let says = bench.wait(1);
        assert_eq!(says, if is_recovered { vec![] } else { vec!["app released".to_owned()] });
        assert!(bench.stream.state().inbox().is_done());
        assert_eq!(bench.stream.next_deadline(&bench.limits), None);
        assert!(bench.rebuilt().inbox().is_done(), "also after a crash");
    }
}

#[test]
fn a_list_of_thousands_frees_only_what_is_held() {
    let mut bench = Bench::with_primary();
    bench.assign(1000);
    let messages: Vec<String> = (0..100).map(|number| number.to_string()).collect();
    bench.send(0, &messages.iter().map(String::as_str).collect::<Vec<_>>());
    let list = |numbers: Vec<u64>| Sack::from_numbers(None, numbers);
    let records = bench.records.len();
    let first: Vec<u64> = (1..50).rev().chain(60..99).chain([70, 1]).collect();
    let mut one = sacks(0, &[]);
    one.sacks = vec![list(first.clone())];
    bench.batch(one.clone());
    let held: Vec<u64> = bench.stream.state().outbox().iter_from(0).map(|(n, _)| n).collect();
    let expected: Vec<u64> = (0..100).filter(|number| !first.contains(number)).collect();
    assert_eq!(held, expected);
    assert_eq!(bench.records.len(), records + 1);
    one.sacks = vec![list(vec![1; 4096])];
    bench.batch(one);
    assert_eq!(bench.records.len(), records + 1, "nothing new, nothing stored");
}

//! Choice of the primary from the replies of several Sentinels, and the parsing of a reply.

use super::*;

fn node(port: u16) -> Node {
    Node { host: "h".to_owned(), port }
}

fn view(epoch: u64, primary: u16, replicas: &[u16]) -> View {
    let replicas = replicas.iter().map(|port| node(*port)).collect();
    View { replicas, ..View::new(node(primary), epoch) }
}

fn chosen(views: &[View], listed: usize) -> (u16, usize, bool) {
    let (located, agreeing) = choose(views.to_vec(), listed).unwrap();
    (located.primary.port, agreeing, located.is_settled)
}

#[test]
fn the_greatest_epoch_decides_and_not_the_order_or_the_number() {
    let (stale, current) = (view(3, 1, &[2]), view(4, 2, &[1]));
    assert_eq!(chosen(&[stale.clone(), current.clone()], 2), (2, 1, true));
    assert_eq!(chosen(&[current.clone(), stale.clone()], 2), (2, 1, true));
    assert_eq!(chosen(&[stale.clone(), stale.clone(), current], 3), (2, 1, false));
    assert_eq!(choose(Vec::new(), 3), None);
}

#[test]
fn most_votes_decide_within_an_epoch_and_then_the_order() {
    let (one, two) = (view(0, 1, &[]), view(0, 2, &[]));
    assert_eq!(chosen(&[one.clone(), two.clone(), two.clone()], 3), (2, 2, false));
    assert_eq!(chosen(&[one, two], 2), (1, 1, false));
}

#[test]
fn a_settled_location_has_half_of_the_listed_sentinels_and_no_failover() {
    let current = view(4, 2, &[1]);
    for (replied, listed, is_settled) in
        [(1, 1, true), (1, 2, true), (1, 3, false), (2, 3, true), (2, 5, false), (3, 5, true)]
    {
        assert_eq!(chosen(&vec![current.clone(); replied], listed), (2, replied, is_settled));
    }
    let failing_over = View { is_failing_over: true, ..current.clone() };
    assert_eq!(chosen(&[current.clone(), current, failing_over], 3), (2, 3, false));
}

/// The reply of a Sentinel with an identity, which knows others by identity and port.
fn reply(id: &str, epoch: u64, others: &[(&str, u16)]) -> SentinelReply {
    let others = others.iter().map(|(id, port)| ((*id).to_owned(), node(*port))).collect();
    Ok(Some(View { id: id.to_owned(), others, ..view(epoch, 1, &[]) }))
}

/// One of five Sentinels is listed, under another address than the others know.
#[test]
fn half_of_all_known_sentinels_must_agree() {
    let dead = || Err(StoreError::Unavailable("dead".to_owned()));
    let others = [("b", 12), ("c", 13), ("d", 14), ("e", 15)];
    let mut replies = vec![(node(1), reply("a", 4, &others))];
    assert_eq!(count_all(&replies, 1), 5);
    let error = decide(&replies, 1, "main", true).unwrap_err();
    assert!(error.to_string().contains("only 1 of 5 Sentinels"), "{error}");
    assert!(!decide(&replies, 1, "main", false).unwrap().is_settled);
    assert_eq!(unlisted(&replies), [node(12), node(13), node(14), node(15)]);
    let known = [("a", 11), ("c", 13), ("d", 14), ("e", 15)];
    replies.extend([(node(12), reply("b", 4, &known)), (node(13), dead())]);
    assert!(decide(&replies, 1, "main", true).is_err(), "2 of 5");
    assert_eq!(unlisted(&replies), [node(14), node(15)], "the address of `a` is another name");
    replies.push((node(14), reply("d", 3, &[])));
    assert!(decide(&replies, 1, "main", true).is_err(), "a Sentinel that missed a failover");
    replies.push((node(15), reply("e", 4, &[])));
    assert_eq!(count_all(&replies, 1), 5);
    assert!(decide(&replies, 1, "main", true).unwrap().is_settled, "3 of 5");
}

#[test]
fn a_sentinel_with_two_addresses_counts_once() {
    let others = [("b", 12), ("c", 13)];
    let mut replies = vec![(node(1), reply("a", 4, &others)), (node(11), reply("a", 4, &others))];
    assert!(decide(&replies, 2, "main", true).is_err(), "1 of 3");
    replies.push((node(12), reply("b", 4, &[])));
    assert!(decide(&replies, 2, "main", true).unwrap().is_settled, "2 of 3");
}

#[test]
fn listed_sentinels_without_a_reply_count() {
    let dead = || (node(2), Err(StoreError::Unavailable("dead".to_owned())));
    let replies = [(node(1), reply("a", 4, &[])), dead(), dead()];
    assert_eq!(count_all(&replies, 3), 3);
    assert!(decide(&replies, 3, "main", true).is_err());
    assert!(decide(&replies[..2], 2, "main", true).is_ok());
}

#[test]
fn the_number_of_unlisted_sentinels_is_bounded() {
    let ids: Vec<_> = (0..MAX_UNLISTED as u16 + 1).map(|at| (format!("{at}"), at)).collect();
    let others: Vec<_> = ids.iter().map(|(id, at)| (&**id, *at)).collect();
    for count in [MAX_UNLISTED - 1, MAX_UNLISTED, MAX_UNLISTED + 1] {
        let replies = [(node(100), reply("a", 4, &others[..count]))];
        assert_eq!(unlisted(&replies).len(), count.min(MAX_UNLISTED));
    }
}

#[test]
fn the_replicas_of_all_agreeing_sentinels_count_once() {
    let of = |epoch, primary, replicas: &[u16], known_replicas| View {
        known_replicas,
        ..view(epoch, primary, replicas)
    };
    let views = vec![of(4, 2, &[1, 3], 3), of(4, 2, &[3, 5], 2), of(3, 1, &[7], 9)];
    let (located, _) = choose(views, 3).unwrap();
    assert_eq!(located.replicas, [node(1), node(3), node(5)]);
    assert_eq!(located.known_replicas, 3);
}

fn strings(parts: &[&str]) -> Value {
    Value::Array(parts.iter().map(|part| Value::BulkString(part.as_bytes().to_vec())).collect())
}

#[test]
fn replies_are_parsed() {
    let replica = |flags, link| {
        strings(&["ip", "h", "port", "3", "flags", flags, "master-link-status", link])
    };
    let replicas = [("slave", "ok"), ("s_down,slave", "ok"), ("slave", "err")]
        .map(|(flags, link)| replica(flags, link));
    let master = strings(&[
        "down-after-milliseconds",
        "5000",
        "config-epoch",
        "9",
        "flags",
        "master,failover_in_progress",
    ]);
    let others =
        [strings(&["ip", "h", "port", "7", "runid", "b"]), strings(&["ip", "h", "port", "8"])];
    let mut values = vec![
        strings(&["h", "2"]),
        master,
        Value::Array(replicas.into()),
        Value::Array(others.into()),
        Value::BulkString(b"a".to_vec()),
    ];
    let others = vec![("b".to_owned(), node(7)), ("h:8".to_owned(), node(8))];
    let mut expected =
        View { is_failing_over: true, others, known_replicas: 3, ..view(9, 2, &[3]) };
    (expected.id, expected.down_after_ms) = ("a".to_owned(), 5000);
    assert_eq!(parse_view(values.clone()).unwrap(), Some(expected.clone()));
    // Sentinels before 6.2 report no identity of their own.
    values.truncate(4);
    expected.id = String::new();
    assert_eq!(parse_view(values).unwrap(), Some(expected));
    assert_eq!(parse_view(vec![Value::Nil]).unwrap(), None);
    assert!(parse_view(vec![strings(&["h", "2"]), Value::Int(1)]).is_err());
}

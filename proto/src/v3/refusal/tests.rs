//! The table of refusals is consistent, and the JSON form tolerates newer servers.

use super::*;

#[test]
fn names_are_distinct_and_parse() {
    for (index, code) in RefusalCode::ALL.into_iter().enumerate() {
        assert_eq!(RefusalCode::parse(code.as_str()), Some(code));
        assert!(RefusalCode::ALL[..index].iter().all(|other| other.as_str() != code.as_str()));
        assert!(code.as_str().len() <= MAX_CODE && code.title().len() <= MAX_TITLE);
    }
    for action in ClientAction::ALL {
        assert_eq!(ClientAction::parse(action.as_str()), action);
    }
}

#[test]
fn refusals_round_trip() {
    for code in RefusalCode::ALL {
        let mut refusal = Refusal::new(code);
        assert_eq!(refusal.code(), Some(code));
        assert_eq!(refusal.close_code(), 4000 + code.status());
        for after in [None, Some(0), Some(1_500), Some(MAX_NUMBER)] {
            refusal.after = after.map(Duration::from_millis);
            assert_eq!(Refusal::parse(refusal.to_json().as_bytes()).as_ref(), Some(&refusal));
        }
    }
}

#[test]
fn only_the_second_refusal_of_a_damaged_transport_ends_the_stream() {
    let repeated: Vec<_> = RefusalCode::ALL
        .into_iter()
        .filter(|code| code.ends_when_repeated())
        .inspect(|code| assert_eq!(code.action(), ClientAction::Retry))
        .collect();
    assert_eq!(repeated, [RefusalCode::Frame, RefusalCode::Window, RefusalCode::AckedUnsent]);
}

#[test]
fn a_refusal_of_a_newer_server_is_accepted() {
    let json = br#"{"status":418,"code":"teapot","do":"end","type":"about:blank","x":[1]}"#;
    let refusal = Refusal::parse(json).unwrap();
    assert_eq!((refusal.code(), refusal.code_text(), refusal.title()), (None, "teapot", ""));
    assert_eq!(refusal.action(), ClientAction::End);
    let unknown = br#"{"status":503,"code":"busy","do":"dance"}"#;
    assert_eq!(Refusal::parse(unknown).unwrap().action(), ClientAction::Halt);
}

#[test]
fn members_are_checked() {
    let good = r#"{"status":403,"code":"origin","title":"t","do":"halt","after":1}"#;
    assert!(Refusal::parse(good.as_bytes()).is_some());
    for (member, wrong) in [
        ("403", "399"),
        ("403", "600"),
        ("403", "\"403\""),
        ("\"origin\"", "\"\""),
        ("\"origin\"", "7"),
        ("\"t\"", "null"),
        ("\"halt\"", "1"),
        ("\"after\":1", "\"after\":-1"),
        ("\"do\"", "\"did\""),
        ("\"status\"", "\"state\""),
        ("\"code\"", "\"cod\""),
    ] {
        assert_eq!(Refusal::parse(good.replace(member, wrong).as_bytes()), None, "{wrong}");
    }
    for (length, ok) in [(MAX_CODE - 1, true), (MAX_CODE, true), (MAX_CODE + 1, false)] {
        let json = good.replace("origin", &"c".repeat(length));
        assert_eq!(Refusal::parse(json.as_bytes()).is_some(), ok, "{length}");
    }
}

#[test]
fn a_long_title_is_cut_at_a_character() {
    let cut = |title: &str| Refusal::with_title(RefusalCode::Hello, title).title().len();
    let long = "t".repeat(MAX_TITLE);
    assert_eq!([cut(&long[1..]), cut(&long), cut(&format!("{long}t"))], [299, 300, 300]);
    assert_eq!(cut(&format!("{}é", &long[1..])), MAX_TITLE - 1);
}

//! The table against a model that keeps nothing but the history and reads it anew for each question.

use proptest::prelude::*;

use super::*;

const PARTITIONS: u32 = 3;
const LINKS: u64 = 4;

#[derive(Debug, Clone, Copy)]
enum Told {
    Claimed(LinkId, u32, u64),
    Released(LinkId, u32),
    Lost(LinkId),
    /// A transport that was placed at this point (counted from the newest) is refused.
    Moved(usize),
}

fn told() -> impl Strategy<Value = Told> {
    let link = || (0..LINKS).prop_map(LinkId);
    prop_oneof![
        6 => (link(), 0..PARTITIONS, 0..4_u64).prop_map(|(l, p, e)| Told::Claimed(l, p, e)),
        3 => (link(), 0..PARTITIONS).prop_map(|(link, partition)| Told::Released(link, partition)),
        1 => link().prop_map(Told::Lost),
        2 => (0..6_usize).prop_map(Told::Moved),
    ]
}

/// What was told, in order; `Moved` as the release that it comes to, or as nothing.
#[derive(Default)]
struct Model {
    history: Vec<Option<Told>>,
}

impl Model {
    /// Where in the history the claim of `link` stands that holds now, and where its tenure began.
    fn claim(&self, link: LinkId, partition: u32) -> Option<(u64, usize, usize)> {
        let mut found: Option<(u64, usize, usize)> = None;
        for (at, told) in self.history.iter().enumerate() {
            match told {
                Some(Told::Claimed(l, p, epoch)) if (*l, *p) == (link, partition) => {
                    found = Some((*epoch, at, found.map_or(at, |(_, _, since)| since)));
                }
                Some(Told::Released(l, p)) if (*l, *p) == (link, partition) => found = None,
                Some(Told::Lost(l)) if *l == link => found = None,
                _ => {}
            }
        }
        found
    }

    fn claims(&self, partition: u32) -> Vec<(u64, usize, LinkId, usize)> {
        let links = (0..LINKS).map(LinkId);
        let claim = |link| {
            self.claim(link, partition).map(|(epoch, told, since)| (epoch, told, link, since))
        };
        let mut claims: Vec<_> = links.filter_map(claim).collect();
        claims.sort();
        claims
    }

    fn standing(&self, link: LinkId, partition: u32, since: usize) -> Standing {
        match self.claim(link, partition) {
            Some((epoch, _, from)) if from == since => {
                let highest = self.claims(partition).last().map(|best| best.0);
                if highest > Some(epoch) { Standing::Outbid } else { Standing::Good }
            }
            _ => Standing::GivenUp,
        }
    }
}

/// A transport that found an owner: the table's word for it and the model's.
type Placed = (Tenure, usize);

fn check(table: &Table, model: &Model, placed: &[Placed]) {
    let mut owned = 0;
    for partition in 0..PARTITIONS {
        let claims = model.claims(partition);
        owned += usize::from(!claims.is_empty());
        assert_eq!(table.owner(partition).map(|tenure| tenure.link), claims.last().map(|c| c.2));
    }
    assert_eq!(table.owned(), owned);
    for (tenure, since) in placed {
        let expected = model.standing(tenure.link, tenure.partition, *since);
        assert_eq!(table.standing(*tenure), expected, "{tenure:?}");
    }
}

/// Whom a wake-up must reach: who waits, and whose place has ended.
fn must_wake(table: &Table, placed: &[Placed], before: &[Standing]) -> Vec<u32> {
    let ended = placed.iter().zip(before).filter(|((tenure, _), before)| {
        **before == Standing::Good && table.standing(*tenure) != Standing::Good
    });
    ended.map(|((tenure, _), _)| tenure.partition).collect()
}

fn play(steps: Vec<Told>) {
    let (mut table, mut model) = (Table::new(PARTITIONS), Model::default());
    let mut placed: Vec<Placed> = Vec::new();
    for step in steps {
        let before: Vec<_> = placed.iter().map(|(tenure, _)| table.standing(*tenure)).collect();
        let orphaned: Vec<_> = (0..PARTITIONS).filter(|&p| table.owner(p).is_none()).collect();
        let (woken, fact) = match step {
            Told::Claimed(link, partition, epoch) => (
                table.claim(link, partition, epoch).then_some(partition).into_iter().collect(),
                Some(step),
            ),
            Told::Released(link, partition) => (
                table.release(link, partition).then_some(partition).into_iter().collect(),
                Some(step),
            ),
            Told::Lost(link) => (table.lose(link), Some(step)),
            Told::Moved(back) => match placed.iter().rev().nth(back) {
                None => (Vec::new(), None),
                Some((tenure, since)) => {
                    let (link, partition) = (tenure.link, tenure.partition);
                    let stands = model.standing(link, partition, *since) != Standing::GivenUp;
                    let woken = table.disown(*tenure).then_some(partition);
                    let fact = stands.then_some(Told::Released(link, partition));
                    (woken.into_iter().collect(), fact)
                }
            },
        };
        model.history.push(fact);
        check(&table, &model, &placed);
        for partition in must_wake(&table, &placed, &before) {
            assert!(woken.contains(&partition), "whoever is placed at {partition} sleeps on");
        }
        for partition in orphaned {
            let found = table.owner(partition).is_some();
            assert!(
                !found || woken.contains(&partition),
                "whoever waits for {partition} sleeps on"
            );
        }
        for partition in 0..PARTITIONS {
            if let Some(tenure) = table.owner(partition) {
                let since = model.claim(tenure.link, partition).unwrap().2;
                placed.push((tenure, since));
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, ..ProptestConfig::default() })]

    #[test]
    fn the_table_is_what_the_history_says(steps in prop::collection::vec(told(), 0..40)) {
        play(steps);
    }
}

const A: LinkId = LinkId(1);
const B: LinkId = LinkId(2);

fn owner(table: &Table) -> Option<LinkId> {
    table.owner(0).map(|tenure| tenure.link)
}

#[test]
fn the_higher_epoch_is_right_and_of_equal_ones_the_last_told() {
    let mut table = Table::new(1);
    assert!(table.claim(A, 0, 5));
    assert!(!table.claim(B, 0, 4), "nobody need look again");
    assert_eq!(owner(&table), Some(A));
    assert!(!table.claim(B, 0, 5), "who is placed with A stays there");
    assert_eq!(owner(&table), Some(B));
    assert!(table.claim(A, 0, 6));
    assert_eq!((owner(&table), table.owned()), (Some(A), 1));
}

#[test]
fn a_claim_that_is_given_up_leaves_the_one_below() {
    let mut table = Table::new(1);
    table.claim(A, 0, 5);
    let placed = table.owner(0).unwrap();
    table.claim(B, 0, 6);
    assert_eq!(table.standing(placed), Standing::Outbid);
    assert_eq!(table.lose(B), [0]);
    assert_eq!((owner(&table), table.standing(placed)), (Some(A), Standing::Good));
    assert!(table.release(A, 0) && !table.release(A, 0));
    assert_eq!((owner(&table), table.owned()), (None, 0));
}

#[test]
fn a_refusal_concerns_the_tenure_that_it_is_about() {
    let mut table = Table::new(1);
    table.claim(A, 0, 5);
    let placed = table.owner(0).unwrap();
    table.claim(A, 0, 6);
    assert_eq!(table.standing(placed), Standing::Good, "renewed without a gap");
    table.release(A, 0);
    table.claim(A, 0, 7);
    assert_eq!(table.standing(placed), Standing::GivenUp);
    assert!(!table.disown(placed), "about an older one");
    assert_eq!(owner(&table), Some(A));
    assert!(table.disown(table.owner(0).unwrap()));
    assert_eq!(owner(&table), None);
}

#[test]
fn partitions_that_do_not_exist_have_no_owner() {
    for partitions in [0, 1, 65_536] {
        let mut table = Table::new(partitions);
        assert!(!table.claim(A, partitions, 1));
        assert_eq!((table.owner(partitions), table.owned()), (None, 0));
        assert_eq!(table.claim(A, partitions.wrapping_sub(1), 1), partitions > 0);
    }
}

//! Property test of the table against a model that evaluates the complete history for each query.

use proptest::prelude::*;

use super::*;

const PARTITIONS: u32 = 3;
const LINKS: u64 = 4;

#[derive(Debug, Clone, Copy)]
enum Announcement {
    Claimed(LinkId, u32, u64),
    Released(LinkId, u32),
    Lost(LinkId),
    /// A transport of the claim at this index (from the newest) is rejected.
    Moved(usize),
}

fn announcement() -> impl Strategy<Value = Announcement> {
    let link = || (0..LINKS).prop_map(LinkId);
    prop_oneof![
        6 => (link(), 0..PARTITIONS, 0..4_u64).prop_map(|(l, p, e)| Announcement::Claimed(l, p, e)),
        3 => (link(), 0..PARTITIONS).prop_map(|(link, partition)| Announcement::Released(link, partition)),
        1 => link().prop_map(Announcement::Lost),
        2 => (0..6_usize).prop_map(Announcement::Moved),
    ]
}

/// Announcements in order; `Moved` becomes a release, or nothing.
#[derive(Default)]
struct Model {
    history: Vec<Option<Announcement>>,
}

impl Model {
    /// The current claim of `link`: epoch, index of the last announcement, index of the first one.
    fn claim(&self, link: LinkId, partition: u32) -> Option<(u64, usize, usize)> {
        let mut found: Option<(u64, usize, usize)> = None;
        for (at, announced) in self.history.iter().enumerate() {
            match announced {
                Some(Announcement::Claimed(l, p, epoch)) if (*l, *p) == (link, partition) => {
                    found = Some((*epoch, at, found.map_or(at, |(_, _, since)| since)));
                }
                Some(Announcement::Released(l, p)) if (*l, *p) == (link, partition) => found = None,
                Some(Announcement::Lost(l)) if *l == link => found = None,
                _ => {}
            }
        }
        found
    }

    fn claims(&self, partition: u32) -> Vec<(u64, usize, LinkId, usize)> {
        let links = (0..LINKS).map(LinkId);
        let claim = |link| {
            self.claim(link, partition)
                .map(|(epoch, announced, since)| (epoch, announced, link, since))
        };
        let mut claims: Vec<_> = links.filter_map(claim).collect();
        claims.sort();
        claims
    }

    fn status(&self, link: LinkId, partition: u32, since: usize) -> ClaimStatus {
        match self.claim(link, partition) {
            Some((epoch, _, from)) if from == since => {
                let highest = self.claims(partition).last().map(|best| best.0);
                if highest > Some(epoch) { ClaimStatus::Superseded } else { ClaimStatus::Valid }
            }
            _ => ClaimStatus::Withdrawn,
        }
    }
}

/// A transport that found an owner: the table's word for it and the model's.
type Placed = (OwnerClaim, usize);

fn check(table: &OwnerTable, model: &Model, placed: &[Placed]) {
    let mut owned = 0;
    for partition in 0..PARTITIONS {
        let claims = model.claims(partition);
        owned += usize::from(!claims.is_empty());
        assert_eq!(table.owner(partition).map(|claim| claim.link), claims.last().map(|c| c.2));
    }
    assert_eq!(table.owned(), owned);
    for (claim, since) in placed {
        let expected = model.status(claim.link, claim.partition, *since);
        assert_eq!(table.status(*claim), expected, "{claim:?}");
    }
}

/// Whom a wake-up must reach: who waits, and whose attachment has ended.
fn must_wake(table: &OwnerTable, placed: &[Placed], before: &[ClaimStatus]) -> Vec<u32> {
    let ended = placed.iter().zip(before).filter(|((claim, _), before)| {
        **before == ClaimStatus::Valid && table.status(*claim) != ClaimStatus::Valid
    });
    ended.map(|((claim, _), _)| claim.partition).collect()
}

fn play(steps: Vec<Announcement>) {
    let (mut table, mut model) = (OwnerTable::new(PARTITIONS), Model::default());
    let mut placed: Vec<Placed> = Vec::new();
    for step in steps {
        let before: Vec<_> = placed.iter().map(|(claim, _)| table.status(*claim)).collect();
        let orphaned: Vec<_> = (0..PARTITIONS).filter(|&p| table.owner(p).is_none()).collect();
        let (woken, fact) = match step {
            Announcement::Claimed(link, partition, epoch) => (
                table.claim(link, partition, epoch).then_some(partition).into_iter().collect(),
                Some(step),
            ),
            Announcement::Released(link, partition) => (
                table.release(link, partition).then_some(partition).into_iter().collect(),
                Some(step),
            ),
            Announcement::Lost(link) => (table.lose(link), Some(step)),
            Announcement::Moved(back) => match placed.iter().rev().nth(back) {
                None => (Vec::new(), None),
                Some((claim, since)) => {
                    let (link, partition) = (claim.link, claim.partition);
                    let stands = model.status(link, partition, *since) != ClaimStatus::Withdrawn;
                    let woken = table.withdraw(*claim).then_some(partition);
                    let fact = stands.then_some(Announcement::Released(link, partition));
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
            if let Some(claim) = table.owner(partition) {
                let since = model.claim(claim.link, partition).unwrap().2;
                placed.push((claim, since));
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, ..ProptestConfig::default() })]

    #[test]
    fn the_table_equals_the_model(steps in prop::collection::vec(announcement(), 0..40)) {
        play(steps);
    }
}

const A: LinkId = LinkId(1);
const B: LinkId = LinkId(2);

fn owner(table: &OwnerTable) -> Option<LinkId> {
    table.owner(0).map(|claim| claim.link)
}

#[test]
fn the_highest_epoch_owns_and_of_equal_epochs_the_latest_claim() {
    let mut table = OwnerTable::new(1);
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
    let mut table = OwnerTable::new(1);
    table.claim(A, 0, 5);
    let placed = table.owner(0).unwrap();
    table.claim(B, 0, 6);
    assert_eq!(table.status(placed), ClaimStatus::Superseded);
    assert_eq!(table.lose(B), [0]);
    assert_eq!((owner(&table), table.status(placed)), (Some(A), ClaimStatus::Valid));
    assert!(table.release(A, 0) && !table.release(A, 0));
    assert_eq!((owner(&table), table.owned()), (None, 0));
}

#[test]
fn a_rejection_withdraws_only_its_claim() {
    let mut table = OwnerTable::new(1);
    table.claim(A, 0, 5);
    let placed = table.owner(0).unwrap();
    table.claim(A, 0, 6);
    assert_eq!(table.status(placed), ClaimStatus::Valid, "renewed without a gap");
    table.release(A, 0);
    table.claim(A, 0, 7);
    assert_eq!(table.status(placed), ClaimStatus::Withdrawn);
    assert!(!table.withdraw(placed), "about an older one");
    assert_eq!(owner(&table), Some(A));
    assert!(table.withdraw(table.owner(0).unwrap()));
    assert_eq!(owner(&table), None);
}

#[test]
fn partitions_that_do_not_exist_have_no_owner() {
    for partitions in [0, 1, 65_536] {
        let mut table = OwnerTable::new(partitions);
        assert!(!table.claim(A, partitions, 1));
        assert_eq!((table.owner(partitions), table.owned()), (None, 0));
        assert_eq!(table.claim(A, partitions.wrapping_sub(1), 1), partitions > 0);
    }
}

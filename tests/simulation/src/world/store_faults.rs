//! Fault injection at the store: failures of calls, isolated cores, rollbacks and clock steps.

use super::{Phase, World};
use crate::core::State;
use crate::event::Event;
use crate::faults::Fault;
use crate::store::Isolation;

/// The longest clock step, in milliseconds.
const MAX_STEP: u64 = 6 * 3_600_000;

impl World {
    pub(super) fn hit_store(&mut self, fault: Fault) {
        let until = self.net.now + self.net.random.between(300, 4000);
        if fault == Fault::StoreSlow {
            self.store.slow_down(until);
        } else if fault == Fault::StoreUnavailable {
            self.store.fail_until(until);
        } else {
            self.store.lose_replies_until(until);
        }
    }

    /// Cuts a core off from the store, usually for longer than its lease. With a split brain the calls of that time
    /// arrive afterwards, when another core may have claimed.
    pub(super) fn cut_off(&mut self, fault: Fault) {
        let core = self.some_core();
        if self.cores[core].state != State::Up {
            return;
        }
        self.net.faults.fire(fault);
        let until = self.net.now + self.net.random.between(500, 15_000);
        let delivers = fault == Fault::SplitBrain;
        self.store.isolate(core, Isolation { until, delivers });
        if delivers && self.net.random.percent(40) {
            self.cores[core].pause();
            let life = self.cores[core].life;
            let resumes = until + self.net.random.between(0, 500);
            self.net.events.schedule(resumes, Event::CoreResumes { core, life });
        }
    }

    pub(super) fn begin_rollback(&mut self, fault: Fault) {
        if self.store.has_snapshot() {
            return;
        }
        let is_partial = matches!(fault, Fault::PartitionRollback | Fault::PartitionRollbackDeath);
        let partitions = is_partial.then(|| {
            let one = self.net.random.between(0, u64::from(self.plan.partitions) - 1);
            vec![one as u32]
        });
        self.store.take_snapshot(partitions);
        let owners_die = matches!(fault, Fault::RollbackDeath | Fault::PartitionRollbackDeath);
        self.net.within(20, 800, Event::StoreRollback { owners_die });
    }

    pub(super) fn roll_back_store(&mut self, owners_die: bool) {
        let Some(rolled_back) = self.store.roll_back() else { return };
        let fault = match (rolled_back.is_partial, owners_die) {
            (false, false) => Fault::Rollback,
            (false, true) => Fault::RollbackDeath,
            (true, false) => Fault::PartitionRollback,
            (true, true) => Fault::PartitionRollbackDeath,
        };
        self.on_rollback(fault, &rolled_back.partitions);
        let partitions = &rolled_back.partitions;
        if owners_die {
            let owns =
                |core: &usize| partitions.iter().any(|one| self.cores[*core].announces(*one));
            let all = 0..self.cores.len();
            let dying: Vec<usize> =
                all.filter(|core| !rolled_back.is_partial || owns(core)).collect();
            dying.into_iter().for_each(|core| self.crash_core(core, 50));
        }
    }

    /// Takes back the checkpoint call of the snapshot.
    pub(super) fn lose_checkpoint(&mut self) {
        if let Some(rolled_back) = self.store.roll_back() {
            self.on_rollback(Fault::LostCheckpoint, &rolled_back.partitions);
        }
    }

    fn on_rollback(&mut self, fault: Fault, partitions: &[u32]) {
        self.net.faults.fire(fault);
        if let Err(error) = self.checker.durable.roll_back(&self.store.data, partitions) {
            self.checker.violation(format!("rollback: {error}"));
        }
        let numbers = [fault as u64, partitions.len() as u64, 0];
        self.net.trace.record(self.net.now, "store rollback", numbers);
        self.net.trace.detail(|| self.checker.durable.describe());
    }

    /// Steps the clock of the store. In half of the cases a core is dead for longer than a lease.
    pub(super) fn step_store_clock(&mut self) {
        if self.phase != Phase::Faulty {
            return;
        }
        self.net.faults.fire(Fault::StoreClockStep);
        let longest = self.net.random.pick(&[5000, MAX_STEP]);
        let length = self.net.random.between(1, longest);
        let is_forward = self.net.random.percent(50);
        self.store.step_clock(is_forward, length);
        self.net.trace.record(self.net.now, "clock step", [u64::from(is_forward), length, 0]);
        if self.net.random.percent(50) {
            let core = self.some_core();
            if self.cores[core].state == State::Up {
                let pause = self.net.random.between(3000, 20_000);
                self.crash_core(core, pause);
            }
        }
    }

    /// Crashes an owner; some blobs of one partition are damaged before the next claim.
    pub(super) fn begin_damage(&mut self) {
        let core = self.some_core();
        let owned: Vec<u32> = self.cores[core].owned_partitions();
        if self.cores[core].state != State::Up || owned.is_empty() {
            return;
        }
        let partition = self.net.random.pick(&owned);
        let pause = self.net.random.between(50, 6000);
        self.crash_core(core, pause);
        self.net.within(5, 40, Event::BlobDamage { partition });
    }

    pub(super) fn damage_store(&mut self, partition: u32) {
        let may_be_stale = self.plan.has_summaries();
        let damaged = self.store.damage(partition, may_be_stale, &mut self.net);
        if damaged.is_empty() {
            return;
        }
        self.net.faults.fire(Fault::BlobDamage);
        let numbers = [partition.into(), damaged.len() as u64, 0];
        self.net.trace.record(self.net.now, "blob damage", numbers);
        self.net.trace.detail(|| format!("{damaged:?}"));
        if let Err(error) = self.checker.durable.on_damage(partition, damaged) {
            self.checker.violation(format!("damage: {error}"));
        }
    }
}

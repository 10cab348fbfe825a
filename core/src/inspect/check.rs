//! `store check`: a table of all partitions, and the damage of each.

use std::fmt::Write as _;
use std::ops::Range;

use super::StoreCommandError;
use super::partition::InspectedPartition;
use crate::store::{OperatorStore, StoreError};

/// Problems that are printed per partition.
const MAX_PROBLEMS: usize = 20;

/// Checks the partitions and prints the table.
///
/// # Errors
/// [`StoreCommandError::Damaged`] if any partition is damaged.
pub(super) async fn check(
    store: &dyn OperatorStore,
    partitions: Range<u32>,
    print: &impl Fn(&str),
) -> Result<(), StoreCommandError> {
    let checked = partitions.len();
    print(
        "partition      epoch    streams    entries        bytes    damaged  lost streams  kept aside\n",
    );
    let mut damaged = 0;
    for number in partitions {
        let text = match InspectedPartition::read(store, number).await {
            Ok(found) => {
                damaged += usize::from(!found.problems().is_empty());
                row(&found)
            }
            Err(StoreError::Corrupt(text)) => {
                damaged += 1;
                format!("{number:>9}  unreadable: {text}\n")
            }
            Err(error) => return Err(error.into()),
        };
        print(&text);
    }
    if damaged == 0 {
        Ok(())
    } else {
        Err(StoreCommandError::Damaged { partitions: damaged, checked })
    }
}

fn row(found: &InspectedPartition) -> String {
    let stored = &found.stored;
    let problems = found.problems();
    let (streams, lost, damaged) = match &found.recovered {
        Ok(recovered) => {
            let damage = recovered.damage();
            let lost = damage.quarantined.len();
            (damage.kept + lost, lost, damage.count + stored.problems.len())
        }
        Err(_) => (stored.streams.len(), 0, problems.len()),
    };
    let mut row = format!(
        "{:>9} {:>10} {streams:>10} {:>10} {:>12} {damaged:>10} {lost:>13} {:>11}\n",
        found.number,
        stored.epoch,
        stored.log.len(),
        found.bytes(),
        stored.quarantined.len(),
    );
    for problem in problems.iter().take(MAX_PROBLEMS) {
        // Writing to a `String` cannot fail.
        let _ = writeln!(row, "           {problem}");
    }
    if problems.len() > MAX_PROBLEMS {
        let _ = writeln!(row, "           {} more", problems.len() - MAX_PROBLEMS);
    }
    row
}

//! The same rate of strings over more and more streams: what a stream costs that says little.

use std::time::Duration;

use super::Options;
use crate::descriptors;
use crate::figures::COST;
use crate::loader::Shape;
use crate::sheet::{Place, Sheet};
use crate::stage::Plan;
use crate::workload;

/// The bar: how much more a string may cost with the last number of streams than with the first.
const MORE: (&str, f64) = ("cost of a string, to the first case", 1.3);

pub(super) async fn measure(options: &Options, sheet: &mut Sheet) -> anyhow::Result<()> {
    let Options { streams, rate, config, .. } = options;
    descriptors::suffice_for(streams.iter().copied().max().unwrap_or_default())?;
    let mut first = None;
    for &count in streams {
        let stage = config.stage(Plan::default()).await?;
        let every = Some(Duration::from_secs_f64(count as f64 / *rate as f64));
        let shape = Shape { connections: count, in_flight: 1, bytes: 64, every };
        let case = format!("{count} streams, {rate} strings/s there and back");
        let place =
            Place { workload: "grow streams", case: &case, x: Some((count as f64, "streams")) };
        workload::enter_alone(sheet, place, &stage, shape, config.timing()).await?;
        let asked = 2.0 * *rate as f64 / sheet.value(place, "strings").unwrap_or(f64::NAN);
        sheet.add(place, "strings asked for, to those that went through", "x", asked);
        let cost = sheet.value(place, COST).unwrap_or(f64::NAN);
        sheet.add(place, MORE.0, "x", cost / *first.get_or_insert(cost));
    }
    sheet.bar(MORE.0, MORE.1);
    Ok(())
}

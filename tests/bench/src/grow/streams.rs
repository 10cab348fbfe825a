//! The sweep over streams at a constant total rate: the cost of mostly idle streams.

use std::time::Duration;

use crate::config::Config;
use crate::descriptors;
use crate::figures::COST;
use crate::loader::Shape;
use crate::sheet::{Case, Sheet};
use crate::test_bed::Plan;
use crate::workload;

/// The bar: cost of a message with the last number of streams, relative to the first.
const COST_BAR: (&str, f64) = ("cost of a message, to the first case", 1.3);

pub(super) async fn measure(
    streams: &[usize],
    rate: usize,
    config: &Config,
    sheet: &mut Sheet,
) -> anyhow::Result<()> {
    descriptors::suffice_for(streams.iter().copied().max().unwrap_or_default())?;
    let mut first = None;
    for &count in streams {
        let test_bed = config.start_test_bed(Plan::default()).await?;
        let every = Some(Duration::from_secs_f64(count as f64 / rate as f64));
        let shape = Shape { connections: count, in_flight: 1, bytes: 64, every };
        let case = format!("{count} streams, {rate} messages/s there and back");
        let case_id =
            Case { workload: "grow streams", case: &case, x: Some((count as f64, "streams")) };
        workload::enter_alone(sheet, case_id, &test_bed, shape, config.timing()).await?;
        let rate_ratio = 2.0 * rate as f64 / sheet.value(case_id, "messages").unwrap_or(f64::NAN);
        sheet.add(case_id, "requested rate, to the measured one", "x", rate_ratio);
        let cost = sheet.value(case_id, COST).unwrap_or(f64::NAN);
        sheet.add(case_id, COST_BAR.0, "x", cost / *first.get_or_insert(cost));
    }
    sheet.bar(COST_BAR.0, COST_BAR.1);
    Ok(())
}

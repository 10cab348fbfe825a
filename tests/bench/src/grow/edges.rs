//! The sweep over edges: cost and benefit of more edges on one machine.

use crate::config::Config;
use crate::loader::Shape;
use crate::sheet::{Case, Sheet};
use crate::test_bed::Plan;
use crate::workload;

/// The shape of `pipe`.
const SHAPE: Shape = Shape { connections: 100, in_flight: 64, bytes: 64, every: None };

pub(super) async fn measure(
    edges: &[usize],
    config: &Config,
    sheet: &mut Sheet,
) -> anyhow::Result<()> {
    for &count in edges {
        let test_bed = config.start_test_bed(Plan { edges: count, ..Plan::default() }).await?;
        let case = format!("{count} edges, {} streams", SHAPE.connections);
        let case_id =
            Case { workload: "grow edges", case: &case, x: Some((count as f64, "edges")) };
        workload::enter_alone(sheet, case_id, &test_bed, SHAPE, config.timing()).await?;
    }
    Ok(())
}

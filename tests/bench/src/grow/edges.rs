//! As many streams over more and more edges: whether a second edge is worth it on this machine, and what it costs.

use super::Options;
use crate::loader::Shape;
use crate::sheet::{Place, Sheet};
use crate::stage::Plan;
use crate::workload;

/// As `pipe`.
const SHAPE: Shape = Shape { connections: 100, in_flight: 64, bytes: 64, every: None };

pub(super) async fn measure(options: &Options, sheet: &mut Sheet) -> anyhow::Result<()> {
    let Options { edges, config, .. } = options;
    for &count in edges {
        let stage = config.stage(Plan { edges: count, ..Plan::default() }).await?;
        let case = format!("{count} edges, {} streams", SHAPE.connections);
        let place = Place { workload: "grow edges", case: &case, x: Some((count as f64, "edges")) };
        workload::enter_alone(sheet, place, &stage, SHAPE, config.timing()).await?;
    }
    Ok(())
}

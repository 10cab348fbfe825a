//! Longer and longer strings, as many under way as fit: strings and bytes that go through, beside the floor.

use super::Options;
use crate::connection::{Transport, Way};
use crate::loader::Shape;
use crate::sheet::{Place, Sheet};
use crate::size::Size;
use crate::stage::Plan;
use crate::workload;

const STREAMS: usize = 20;
/// Strings under way on each stream, and their bytes together: half of what an edge takes from a transport before the
/// core has taken it. One string may be longer.
const MOST: usize = 64;
const MOST_BYTES: u64 = 128 << 10;
/// The longest that is tried.
const LONGEST: u64 = 256 << 10;

/// Reads a length of strings.
///
/// # Errors
/// Says what would do.
pub(super) fn length(text: &str) -> Result<Size, String> {
    let size: Size = text.parse()?;
    if size.0 > LONGEST {
        return Err(format!("longer than the {LONGEST} bytes that are measured"));
    }
    Ok(size)
}

pub(super) async fn measure(options: &Options, sheet: &mut Sheet) -> anyhow::Result<()> {
    let Options { payloads, config, .. } = options;
    for size in payloads {
        let stage = config.stage(Plan::default()).await?;
        let (bytes, in_flight) = (size.0 as usize, in_flight(size.0));
        let shape = Shape { connections: STREAMS, in_flight, bytes, every: None };
        let [floor, minerva] = [Way::Floor, Way::Minerva(Transport::WebSocket)];
        let (doors, timing) = (stage.direct(), config.timing());
        let floor = workload::runs(floor, &stage, &doors, shape, timing).await?;
        let minerva = workload::runs(minerva, &stage, &doors, shape, timing).await?;
        let case = format!("{bytes} bytes, {STREAMS} streams, {in_flight} under way on each");
        let place = Place {
            workload: "grow payload",
            case: &case,
            x: Some((bytes as f64, "bytes of a string")),
        };
        workload::enter_floor(sheet, place, &floor);
        workload::enter(sheet, place, &floor, &minerva);
        for run in &minerva {
            sheet.add(place, "megabytes", "MB/s", run.strings_per_second * bytes as f64 / 1e6);
        }
    }
    Ok(())
}

fn in_flight(bytes: u64) -> usize {
    ((MOST_BYTES / bytes) as usize).clamp(1, MOST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn longer_strings_are_refused() {
        let read = |bytes: u64| length(&bytes.to_string()).map(|size| size.0);
        assert_eq!([read(262_143), read(262_144)], [Ok(262_143), Ok(262_144)]);
        assert!(read(262_145).is_err());
    }

    #[test]
    fn what_is_under_way_fits() {
        assert_eq!([16, 2048, 4096, 65_536, 262_144].map(in_flight), [64, 64, 32, 2, 1]);
    }
}

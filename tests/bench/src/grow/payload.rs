//! The sweep over message lengths: messages and bytes per second relative to the floor.

use crate::config::Config;
use crate::connection::{Target, Transport};
use crate::loader::Shape;
use crate::sheet::{Case, Sheet};
use crate::size::Size;
use crate::test_bed::Plan;
use crate::workload;

const STREAMS: usize = 20;
/// Messages and bytes in flight on each stream: half of the edge's limit for a transport. A single message may be
/// longer.
const MAX_IN_FLIGHT: usize = 64;
const MAX_BYTES_IN_FLIGHT: u64 = 128 << 10;
/// Maximum message length.
const MAX_LENGTH: u64 = 256 << 10;

/// Parses a message length.
///
/// # Errors
/// If the text is not a size or too large.
pub(super) fn length(text: &str) -> Result<Size, String> {
    let size: Size = text.parse()?;
    if size.0 > MAX_LENGTH {
        return Err(format!("at most {MAX_LENGTH} bytes are supported"));
    }
    Ok(size)
}

pub(super) async fn measure(
    payloads: &[Size],
    config: &Config,
    sheet: &mut Sheet,
) -> anyhow::Result<()> {
    for size in payloads {
        let test_bed = config.start_test_bed(Plan::default()).await?;
        let (bytes, in_flight) = (size.0 as usize, in_flight(size.0));
        let shape = Shape { connections: STREAMS, in_flight, bytes, every: None };
        let [floor, minerva] = [Target::Floor, Target::Minerva(Transport::WebSocket)];
        let (endpoints, timing) = (test_bed.direct(), config.timing());
        let floor = workload::runs(floor, &test_bed, &endpoints, shape, timing).await?;
        let minerva = workload::runs(minerva, &test_bed, &endpoints, shape, timing).await?;
        let case = format!("{bytes} bytes, {STREAMS} streams, {in_flight} in flight on each");
        let case_id = Case {
            workload: "grow payload",
            case: &case,
            x: Some((bytes as f64, "bytes of a message")),
        };
        workload::enter_floor(sheet, case_id, &floor);
        workload::enter(sheet, case_id, &floor, &minerva);
        for run in &minerva {
            sheet.add(case_id, "megabytes", "MB/s", run.messages_per_second * bytes as f64 / 1e6);
        }
    }
    Ok(())
}

fn in_flight(bytes: u64) -> usize {
    ((MAX_BYTES_IN_FLIGHT / bytes) as usize).clamp(1, MAX_IN_FLIGHT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn excessive_lengths_are_rejected() {
        let read = |bytes: u64| length(&bytes.to_string()).map(|size| size.0);
        assert_eq!([read(262_143), read(262_144)], [Ok(262_143), Ok(262_144)]);
        assert!(read(262_145).is_err());
    }

    #[test]
    fn messages_in_flight_fit_into_the_limit() {
        assert_eq!([16, 2048, 4096, 65_536, 262_144].map(in_flight), [64, 64, 32, 2, 1]);
    }
}

//! The memory that this process may use: the limit of its control group, or the memory of the machine.
//!
//! Called by a core for the default of its memory budget.

use std::fs;

/// Limits of control groups, version 2 and version 1, as seen in a container.
const GROUP_LIMITS: [&str; 2] =
    ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"];

/// The usable memory in bytes; `None` if the system does not report any.
pub fn usable_memory() -> Option<u64> {
    let machine = fs::read_to_string("/proc/meminfo").ok().and_then(|text| machine_memory(&text));
    let group = GROUP_LIMITS.iter().filter_map(|path| fs::read_to_string(path).ok());
    group.filter_map(|text| text.trim().parse().ok()).chain(machine).min()
}

/// `MemTotal` of `/proc/meminfo` in bytes.
fn machine_memory(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_memory_of_the_machine_is_parsed() {
        let text = "MemTotal:       32781 kB\nMemFree:        12345 kB\n";
        assert_eq!(machine_memory(text), Some(32_781 * 1024));
        assert_eq!(machine_memory("MemFree: 1 kB"), None);
        assert_eq!(machine_memory("MemTotal: many"), None);
    }
}

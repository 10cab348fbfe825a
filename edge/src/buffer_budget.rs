//! Memory of the edge for messages that wait at transports: c2s batches that the core has not taken, and s2c frames that
//! the client has not read.
//!
//! Each transport reports its bytes to the sum of the edge, and is *pressed* while the sum is above the limit: it reads
//! on only while few of its own bytes wait. No client is refused. Used by the sessions.

use std::sync::Arc;

use prometheus_client::metrics::gauge::Gauge;

/// s2c bytes that the core may have under way for a transport that begins while the budget is used up.
const PRESSED_WINDOW: u64 = 16 * 1024;

/// The waiting bytes of all transports.
#[derive(Debug)]
pub(crate) struct BufferBudget {
    limit: i64,
    /// Exported as it is.
    used: Gauge,
}

/// The waiting bytes of one transport. Returned to the budget when dropped.
#[derive(Debug)]
pub(crate) struct BufferShare {
    budget: Arc<BufferBudget>,
    bytes: usize,
}

impl BufferBudget {
    /// A budget of `limit` bytes, of which `used` shows the used ones.
    pub(crate) fn new(limit: u32, used: &Gauge) -> Self {
        Self { limit: limit.into(), used: used.clone() }
    }

    fn is_exceeded(&self) -> bool {
        self.used.get() >= self.limit
    }
}

impl BufferShare {
    pub(crate) fn new(budget: &Arc<BufferBudget>) -> Self {
        Self { budget: Arc::clone(budget), bytes: 0 }
    }

    /// The s2c window of a new transport; `window` is the regular one.
    pub(crate) fn s2c_window(&self, window: u64) -> u64 {
        if self.budget.is_exceeded() { window.min(PRESSED_WINDOW) } else { window }
    }

    /// Sets the waiting bytes of the transport. Returns whether the transport is pressed.
    pub(crate) fn set(&mut self, bytes: usize) -> bool {
        if bytes != self.bytes {
            self.budget.used.inc_by(bytes as i64 - self.bytes as i64);
            self.bytes = bytes;
        }
        self.budget.is_exceeded()
    }
}

impl Drop for BufferShare {
    fn drop(&mut self) {
        self.set(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transports_are_pressed_from_the_limit_on() {
        let gauge = Gauge::default();
        let budget = Arc::new(BufferBudget::new(1000, &gauge));
        let mut one = BufferShare::new(&budget);
        assert!(!one.set(400));
        for (bytes, is_pressed) in [(599, false), (600, true), (601, true)] {
            let mut two = BufferShare::new(&budget);
            assert_eq!(two.set(bytes), is_pressed, "{bytes}");
            assert_eq!(one.set(400), is_pressed, "{bytes}");
            assert_eq!(one.s2c_window(1 << 20), if is_pressed { 16_384 } else { 1 << 20 });
            assert_eq!(one.s2c_window(1000), 1000);
        }
        assert!(!one.set(400), "a dropped share is returned");
        assert!(!one.set(999));
        assert_eq!(gauge.get(), 999);
        drop(one);
        assert_eq!(gauge.get(), 0);
    }
}

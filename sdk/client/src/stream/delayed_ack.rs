//! Delayed acknowledgement: a SACK waits for more messages, so that one SACK covers many. Pure; `events_in` reports
//! messages that arrived in order, `frames_out` reports the SACK.
//!
//! On an HTTP stream a SACK costs a request, unless messages of the client carry the SACK, so the delay is long there. On
//! a socket, a server with a tiny outbox stops until the SACK arrives, so the delay only adds latency. Such a delay shows as
//! silence, and the next messages are acknowledged immediately; their number doubles with each unsuccessful delay.

use super::Time;

/// Maximum delay of a SACK on a socket.
pub(super) const MAX_ACK_DELAY: Time = Time::from_millis(100);

/// The same on an HTTP stream.
pub(super) const MAX_HTTP_ACK_DELAY: Time = Time::from_secs(1);

/// Delay of a SACK on an HTTP stream that may not wait longer: one upload covers the messages that arrive close together.
pub(super) const HTTP_COALESCE_TIME: Time = Time::from_millis(20);

/// A delay is unsuccessful if no message arrives later than this after its start.
const QUIET_TIME: Time = Time::from_millis(25);

/// Delayed messages and bytes at which a SACK waits no longer.
pub(super) const MAX_DELAYED_MESSAGES: usize = 16;
pub(super) const MAX_DELAYED_BYTES: usize = 16 << 10;

/// Maximum number of messages that are acknowledged immediately after unsuccessful delays.
const MAX_IMMEDIATE_ACKS: u32 = 64;

#[derive(Debug)]
pub(super) struct DelayedAck {
    /// The current delay, if a SACK is pending.
    delay: Option<Delay>,
    /// Remaining messages to acknowledge immediately.
    immediate: u32,
    /// Value of `immediate` after the next unsuccessful delay.
    next_immediate: u32,
}

#[derive(Debug)]
struct Delay {
    first: Time,
    /// Longest delay.
    limit: Time,
    /// Arrival of the last message within the delay.
    last: Time,
    messages: usize,
    bytes: usize,
}

impl DelayedAck {
    pub(super) fn new() -> Self {
        Self { delay: None, immediate: 0, next_immediate: 1 }
    }

    /// Records a message of `length` bytes that arrived in order on a socket. Returns the deadline of the SACK.
    pub(super) fn on_received(&mut self, now: Time, length: usize) -> Time {
        if let Some(fewer) = self.immediate.checked_sub(1) {
            self.immediate = fewer;
            return now;
        }
        self.extend(now, length, MAX_ACK_DELAY, Time::ZERO)
    }

    /// As [`Self::on_received`], on an HTTP stream.
    pub(super) fn on_received_over_http(&mut self, now: Time, length: usize) -> Time {
        self.extend(now, length, MAX_HTTP_ACK_DELAY, HTTP_COALESCE_TIME)
    }

    /// Counts a message; `rest` is the delay of a SACK that may not wait for more messages.
    fn extend(&mut self, now: Time, length: usize, limit: Time, rest: Time) -> Time {
        let new = Delay { first: now, limit, last: now, messages: 0, bytes: 0 };
        let delay = self.delay.get_or_insert(new);
        delay.limit = delay.limit.min(limit);
        delay.messages += 1;
        delay.bytes = delay.bytes.saturating_add(length);
        // A SACK may be late while the socket is full.
        if now <= delay.end() {
            delay.last = now;
        }
        let is_full = delay.messages >= MAX_DELAYED_MESSAGES || delay.bytes >= MAX_DELAYED_BYTES;
        if is_full { now + rest } else { delay.end() }
    }

    /// Records that the SACK with deadline `due` was sent. Only a delay on a socket that was not interrupted counts.
    pub(super) fn on_sack_sent(&mut self, now: Time, due: Time) {
        let is_complete =
            |delay: &Delay| delay.limit == MAX_ACK_DELAY && delay.end() == due && due <= now;
        let Some(delay) = self.delay.take().filter(is_complete) else { return };
        if delay.last >= delay.first + QUIET_TIME {
            self.next_immediate = 1;
        } else {
            self.immediate = self.next_immediate;
            self.next_immediate = (2 * self.next_immediate).min(MAX_IMMEDIATE_ACKS);
        }
    }
}

impl Delay {
    fn end(&self) -> Time {
        self.first + self.limit
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Time {
        Time::from_millis(ms)
    }

    /// One-byte messages arrive at these times, then the delay ends. Returns the number of immediate acknowledgements
    /// afterwards.
    fn immediate_acks_after(delayed_ack: &mut DelayedAck, now: Time, came: &[u64]) -> u32 {
        for after in came {
            assert_eq!(delayed_ack.on_received(now + ms(*after), 1), now + MAX_ACK_DELAY);
        }
        delayed_ack.on_sack_sent(now + MAX_ACK_DELAY, now + MAX_ACK_DELAY);
        let later = now + 2 * MAX_ACK_DELAY;
        let mut count = 0;
        while delayed_ack.on_received(later, 1) == later {
            count += 1;
        }
        // As if the SACK had been piggybacked on other frames.
        delayed_ack.on_sack_sent(later, later + MAX_ACK_DELAY);
        count
    }

    #[test]
    fn sixteen_messages_or_16_kib_are_acknowledged_immediately() {
        for (count, goes) in [(15, false), (16, true), (17, true)] {
            let mut delayed_ack = DelayedAck::new();
            let due: Vec<Time> = (0..count).map(|n| delayed_ack.on_received(ms(n), 9)).collect();
            assert_eq!(due[..15], [MAX_ACK_DELAY; 15]);
            assert_eq!(*due.last().unwrap() == ms(count - 1), goes, "{count}");
        }
        for (bytes, goes) in [
            (MAX_DELAYED_BYTES - 1, false),
            (MAX_DELAYED_BYTES, true),
            (MAX_DELAYED_BYTES + 1, true),
        ] {
            let mut delayed_ack = DelayedAck::new();
            assert_eq!(delayed_ack.on_received(ms(3), 1000), ms(103));
            let due = delayed_ack.on_received(ms(7), bytes - 1000);
            assert_eq!(due, if goes { ms(7) } else { ms(103) }, "{bytes}");
            assert_eq!(
                DelayedAck::new().on_received(ms(7), bytes) == ms(7),
                goes,
                "{bytes} in one"
            );
        }
    }

    #[test]
    fn an_http_stream_waits_longer_and_never_acknowledges_immediately() {
        for (count, due) in [(15, ms(1000)), (16, ms(35)), (17, ms(36))] {
            let mut delayed_ack = DelayedAck::new();
            let last = (0..count).map(|n| delayed_ack.on_received_over_http(ms(n), 9)).last();
            assert_eq!(last, Some(due), "{count}");
        }
        let mut delayed_ack = DelayedAck::new();
        assert_eq!(delayed_ack.on_received_over_http(ms(3), MAX_DELAYED_BYTES - 1), ms(1003));
        delayed_ack.on_sack_sent(ms(1003), ms(1003));
        // The delay had no second message, which has no effect on HTTP.
        assert_eq!(delayed_ack.on_received_over_http(ms(2000), 1), ms(3000));
        // A socket takes over.
        assert_eq!(delayed_ack.on_received(ms(2050), 1), ms(2100));
    }

    #[test]
    fn each_sack_starts_a_new_count() {
        let mut delayed_ack = DelayedAck::new();
        for round in 0..20 {
            let now = ms(10 * round);
            (0..15)
                .for_each(|_| assert_eq!(delayed_ack.on_received(now, 1092), now + MAX_ACK_DELAY));
            // Piggybacked on the application's messages.
            delayed_ack.on_sack_sent(now + ms(1), now + MAX_ACK_DELAY);
        }
    }

    #[test]
    fn a_message_in_the_last_75_ms_makes_a_delay_successful() {
        for (came, unsuccessful) in [
            (&[0][..], true),
            (&[0, 24], true),
            (&[0, 25], false),
            (&[0, 26], false),
            (&[0, 99], false),
            (&[0, 100], false),
        ] {
            let count = immediate_acks_after(&mut DelayedAck::new(), ms(5), came);
            assert_eq!(count, u32::from(unsuccessful), "{came:?}");
        }
        // A message that arrived after the delay, while the socket was full, does not count.
        let mut delayed_ack = DelayedAck::new();
        delayed_ack.on_received(ms(0), 1);
        assert_eq!(delayed_ack.on_received(ms(101), 1), ms(100));
        delayed_ack.on_sack_sent(ms(102), ms(100));
        assert_eq!(delayed_ack.on_received(ms(102), 1), ms(102));
    }

    #[test]
    fn unsuccessful_delays_double_the_immediate_acks() {
        let mut delayed_ack = DelayedAck::new();
        for (round, count) in (0..).zip([1, 2, 4, 8, 16, 32, 64, 64, 64]) {
            assert_eq!(immediate_acks_after(&mut delayed_ack, ms(1000 * round), &[0]), count);
        }
        assert_eq!(immediate_acks_after(&mut delayed_ack, ms(50_000), &[0, 60]), 0);
        assert_eq!(immediate_acks_after(&mut delayed_ack, ms(51_000), &[0]), 1);
    }

    #[test]
    fn an_interrupted_delay_does_not_count() {
        let mut delayed_ack = DelayedAck::new();
        assert_eq!(immediate_acks_after(&mut delayed_ack, ms(0), &[0]), 1);
        // Interrupted by own messages, by a gap, and by enough messages on a slow socket.
        let cut: [(u64, u64, u64); 3] = [(1, 99, 100), (1, 300, 50), (16, 300, 0)];
        for (messages, goes, due) in cut {
            let now = ms(1000 * messages + goes);
            (0..messages).for_each(|_| assert!(delayed_ack.on_received(now, 1) >= now));
            delayed_ack.on_sack_sent(now + ms(goes), now + ms(due));
            assert_eq!(delayed_ack.immediate, 0);
        }
        assert_eq!(immediate_acks_after(&mut delayed_ack, ms(50_000), &[0]), 2);
    }
}

//! When to pause while a long reply is read, so that HAProxy's traffic is not held up by what it is asked.
//!
//! In: how much was read. Out: a pause, where one is due. Never fails.
//!
//! Up to 3.0, a thread that prints a table goes on with it, and with nothing else, for as long as it is read as fast as it is printed:
//! 5,000 servers hold its connections up for 50 ms, and a command that needs all threads (`del server`) as long. It turns to the
//! others when the socket is full, which takes some 200 kB on Linux. Read in parts it is so after 13 ms at most. 3.2 turns to them after
//! each buffer. (`WEIR_BENCH_PARTS=look make bench`: the longest request takes 64 ms while 5,000 servers are read at once, and 25 ms beside
//! weir.)

use std::time::Duration;

use tokio::time::sleep;

/// So much is read at once, and before a pause: what HAProxy prints of some 230 servers, in 2 ms.
pub(crate) const PART: usize = 64 << 10;
/// Three milliseconds hardly slow HAProxy down, eight make nothing better (2.6.12, two threads, 5,000 servers).
const PAUSE: Duration = Duration::from_millis(5);
/// All pauses together take this share of the time that the exchange has.
const SHARE: u32 = 10;

/// The pauses of one exchange.
#[derive(Debug)]
pub(crate) struct Pacing {
    /// Bytes read since the last pause.
    read: usize,
    /// What pauses may still take.
    left: Duration,
}

impl Pacing {
    /// For an exchange that has so much time in all.
    pub(crate) fn within(total: Duration) -> Self {
        Self { read: 0, left: total / SHARE }
    }

    /// Leaves HAProxy to its traffic where so many bytes more make that due.
    pub(crate) async fn rest(&mut self, bytes: usize) {
        if let Some(pause) = self.after(bytes) {
            sleep(pause).await;
        }
    }

    fn after(&mut self, bytes: usize) -> Option<Duration> {
        self.read += bytes;
        if self.read < PART || self.left < PAUSE {
            return None;
        }
        self.read = 0;
        self.left -= PAUSE;
        Some(PAUSE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_part_is_followed_by_a_pause_until_the_time_for_pauses_is_used_up(
            reads in prop::collection::vec(1..PART, 0..400),
            total in 0_u64..6_000,
        ) {
            let total = Duration::from_millis(total);
            let mut pacing = Pacing::within(total);
            let (mut unpaused, mut paused) = (0, Duration::ZERO);
            for bytes in reads {
                unpaused += bytes;
                if let Some(pause) = pacing.after(bytes) {
                    unpaused = 0;
                    paused += pause;
                }
                prop_assert!(paused <= total / SHARE);
                prop_assert!(unpaused < PART || paused + PAUSE > total / SHARE);
            }
        }

        #[test]
        fn what_fits_into_one_part_is_read_at_once(bytes in 0..PART) {
            prop_assert_eq!(Pacing::within(Duration::from_secs(5)).after(bytes), None);
        }
    }
}

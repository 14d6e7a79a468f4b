//! How long to wait before the next attempt: 250 ms, doubled up to 3 s, half of it random.

use std::time::Duration;

const FIRST: Duration = Duration::from_millis(250);
/// A Nomad that is back is noticed so soon.
const LONGEST: Duration = Duration::from_secs(3);

/// Counts failed attempts in a row.
#[derive(Debug, Default)]
pub(crate) struct Backoff {
    failures: u32,
}

impl Backoff {
    /// The pause after another failure. `random` lies in `0.0..1.0`.
    pub(crate) fn next(&mut self, random: f64) -> Duration {
        let full = FIRST.saturating_mul(1 << self.failures.min(8)).min(LONGEST);
        self.failures += 1;
        full.mul_f64(0.5 + random / 2.0)
    }

    /// Whether the last attempt failed.
    pub(crate) fn is_failing(&self) -> bool {
        self.failures > 0
    }

    pub(crate) fn reset(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_doubles_to_three_seconds_and_starts_over() {
        let mut backoff = Backoff::default();
        let pauses: Vec<u128> = (0..7).map(|_| backoff.next(1.0).as_millis()).collect();
        assert_eq!(pauses, [250, 500, 1000, 2000, 3000, 3000, 3000]);
        assert_eq!(backoff.next(0.0), Duration::from_millis(1500));
        backoff.reset();
        assert_eq!(backoff.next(0.0), Duration::from_millis(125));
    }
}

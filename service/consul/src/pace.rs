//! How often something may happen: a few times at once, then evenly.
//!
//! Pure: in, the time of each turn; out, how long the next has to wait.

use std::time::Duration;

use tokio::time::Instant;

/// A leaky bucket.
#[derive(Debug, Clone)]
pub(crate) struct Pace {
    /// The time that one turn costs.
    cost: Duration,
    /// How much may be owed before a turn has to wait.
    credit: Duration,
    /// When everything owed is paid.
    paid: Option<Instant>,
}

impl Pace {
    /// `burst` turns at once, then `per_second`.
    pub(crate) fn new(per_second: u32, burst: u32) -> Self {
        let cost = Duration::from_secs(1) / per_second;
        Self { cost, credit: cost * burst, paid: None }
    }

    /// Takes a turn.
    pub(crate) fn take(&mut self, now: Instant) {
        self.paid = Some(self.paid.map_or(now, |paid| paid.max(now)) + self.cost);
    }

    /// How long the next turn has to wait.
    pub(crate) fn wait(&self, now: Instant) -> Duration {
        let owed = self.paid.map_or(Duration::ZERO, |paid| paid.saturating_duration_since(now));
        (owed + self.cost).saturating_sub(self.credit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_passes_at_once_and_then_it_is_even() {
        let start = Instant::now();
        let (mut pace, mut now, mut turns) = (Pace::new(20, 4), start, Vec::new());
        while now.duration_since(start) < Duration::from_secs(2) {
            now += pace.wait(now);
            pace.take(now);
            turns.push(now.duration_since(start).as_millis());
        }
        assert_eq!(turns[..4], [0; 4]);
        assert_eq!(turns[4..6], [50, 100]);
        assert!((40..=45).contains(&turns.len()), "{}", turns.len());
    }

    #[test]
    fn after_a_rest_there_is_a_burst_again_and_no_more() {
        let (mut pace, start) = (Pace::new(20, 2), Instant::now());
        let later = start + Duration::from_mins(1);
        pace.take(start);
        pace.take(later);
        assert_eq!(pace.wait(later), Duration::ZERO);
        pace.take(later);
        assert_eq!(pace.wait(later), Duration::from_millis(50));
    }
}

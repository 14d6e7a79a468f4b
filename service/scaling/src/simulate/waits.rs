//! How long requests waited: counts in classes, since a day has millions of them.

use super::moment::{Micros, SECOND, seconds};

/// Longer than this is late. Half a second is where a page starts to feel slow, and what the measurements of
/// real clusters in this project used.
pub(super) const LATE: Micros = SECOND / 2;

/// The lower bound of the first class, in seconds; what waited less did not wait.
const SHORTEST: f64 = 0.001;
/// Each class is so many times as long as the one before: a percentile is right to 2 %.
const GROWTH: f64 = 1.02;

/// Waits, counted.
#[derive(Debug, Clone, Default)]
pub(super) struct Waits {
    pub(super) requests: u64,
    pub(super) late: u64,
    classes: Vec<u64>,
}

impl Waits {
    /// Counts a request that waited so long.
    pub(super) fn count(&mut self, wait: Micros) {
        self.requests += 1;
        self.late += u64::from(wait > LATE);
        let wait = seconds(wait);
        if wait >= SHORTEST {
            self.class((wait / SHORTEST).ln() / GROWTH.ln());
        }
    }

    fn class(&mut self, class: f64) {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to some thousands")]
        let class = class as usize;
        if self.classes.len() <= class {
            self.classes.resize(class + 1, 0);
        }
        self.classes[class] += 1;
    }

    /// The wait, in seconds, that this share of the requests did not exceed.
    pub(super) fn percentile(&self, share: f64) -> f64 {
        let beyond = self.requests as f64 * (1.0 - share);
        let mut longer = 0;
        for (class, &count) in self.classes.iter().enumerate().rev() {
            longer += count;
            if longer as f64 > beyond {
                return SHORTEST * GROWTH.powf(class as f64);
            }
        }
        0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_right_to_their_class() {
        let mut waits = Waits::default();
        (0..1000).for_each(|n| waits.count(n * 1000));
        assert_eq!((waits.requests, waits.late), (1000, 499));
        for share in [0.5, 0.9, 0.99] {
            let found = waits.percentile(share);
            assert!((found / share - 1.0).abs() < 0.025, "{found} for {share}");
        }
        assert!(Waits::default().percentile(0.99) <= 0.0);
    }
}

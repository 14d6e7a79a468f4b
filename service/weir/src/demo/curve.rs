//! How the load rises and falls, and what can be expected of the pool by when.
//!
//! In: the length of the show. Out: the rate over time, the policy's cooldown, the times by which the pool must have
//! grown and come back. Pure but for the moment it begins.

use std::time::Duration;

use tokio::time::Instant;
use weir_devcluster::load::Rate;

/// Requests per second when little is asked for: 4 at work, well within two instances.
pub(super) const LOW: f64 = 40.0;
/// At the height: 25 at work, some seven instances at 80 %. Two cores carry it beside everything else.
pub(super) const HIGH: f64 = 250.0;
/// One rise and fall, where nothing else is said.
const PERIOD: f64 = 60.0;
/// Shares of the period: where the rise begins and ends, where the fall begins and ends.
const RISE: (f64, f64) = (0.04, 0.45);
const FALL: (f64, f64) = (0.53, 0.65);
/// What the start takes of the show, before the load begins.
const START: Duration = Duration::from_secs(4);
/// A load without an end is given this length.
const FOREVER: Duration = Duration::from_hours(24 * 365);
/// From the wish for another count to a pool that has it: start, first check, deployment, with room for a slow machine.
const REACTION: Duration = Duration::from_secs(6);
/// The same for a pool that shrinks: its instances are drained first, which takes as long as a request.
const SHRINKING: Duration = Duration::from_secs(5);

/// The course of the show.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    pub(super) begins: Instant,
    /// Absent: until Ctrl-C.
    pub(super) length: Option<Duration>,
    period: Duration,
}

impl Plan {
    /// Long shows repeat the curve; one that is up to one and a half periods long stretches it.
    pub(super) fn new(length: Option<Duration>, begins: Instant) -> Self {
        let period = length.map_or(PERIOD, |length| {
            let length = length.saturating_sub(START).as_secs_f64();
            length / (length / PERIOD).round().max(1.0)
        });
        Self { begins, length, period: Duration::from_secs_f64(period) }
    }

    /// When it ends.
    pub(super) fn ends(&self) -> Option<Instant> {
        self.length.map(|length| self.begins + length)
    }

    /// What is left of it, for the load.
    pub(super) fn left(&self) -> Duration {
        self.ends().map_or(FOREVER, |end| end.saturating_duration_since(Instant::now()))
    }

    /// A tenth of the period: short enough that the pool comes back in time.
    pub(super) fn cooldown(&self) -> Duration {
        Duration::from_secs((self.period.as_secs() / 10).max(2))
    }

    /// The rate over time; the curve is the same from period to period.
    pub(super) fn rate(&self) -> Rate {
        let period = self.period.as_secs_f64();
        Rate::new(move |at| rate(at.as_secs_f64() % period / period))
    }

    /// After this much load the pool has had the time to grow.
    pub(super) fn grown_by(&self) -> Duration {
        self.period.mul_f64(RISE.1) + REACTION
    }

    /// Whether the pool has had the time to come back when there was load for so long: the highest load has left the cooldown's
    /// window, a first step that covered only a part of the fall has been followed by a second, and the load does not rise
    /// again yet.
    pub(super) fn is_back(&self, lasted: Duration) -> bool {
        let fallen = self.period.mul_f64(FALL.1) + self.cooldown() * 2 + SHRINKING;
        let low = self.period.mul_f64(1.0 + RISE.0).saturating_sub(fallen).as_secs_f64();
        let since = lasted.checked_sub(fallen).map(|since| since.as_secs_f64());
        since.is_some_and(|since| since % self.period.as_secs_f64() <= low)
    }
}

/// The rate at a share of the period.
fn rate(share: f64) -> f64 {
    let up = smooth((share - RISE.0) / (RISE.1 - RISE.0));
    let down = smooth((share - FALL.0) / (FALL.1 - FALL.0));
    LOW + (HIGH - LOW) * (up - down)
}

/// From 0 to 1 without a kink.
fn smooth(share: f64) -> f64 {
    (1.0 - (share.clamp(0.0, 1.0) * std::f64::consts::PI).cos()) / 2.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(seconds: u64) -> Plan {
        Plan::new(Some(Duration::from_secs(seconds)), Instant::now())
    }

    #[test]
    fn the_load_begins_and_ends_low_and_is_high_between() {
        let rate = plan(64).rate();
        let points = [(0, LOW), (2, LOW), (28, HIGH), (31, HIGH), (40, LOW), (59, LOW), (88, HIGH)];
        for (second, wanted) in points {
            let found = rate.at(Duration::from_secs(second));
            assert!((found - wanted).abs() < 1e-6, "{found} at {second} s");
        }
    }

    #[test]
    fn a_show_of_forty_seconds_or_more_has_the_time_to_come_back() {
        for seconds in 40..1000 {
            let load = Duration::from_secs(seconds).saturating_sub(START);
            assert!(plan(seconds).is_back(load), "{seconds} s");
        }
    }

    #[test]
    fn a_shorter_show_is_not_blamed_for_what_it_had_no_time_for() {
        let load = Duration::from_secs(25).saturating_sub(START);
        assert!(!plan(25).is_back(load), "its instances are still drained then");
    }

    #[test]
    fn a_show_that_is_ended_at_high_load_is_not_blamed_for_its_instances() {
        let plan = Plan::new(None, Instant::now());
        let seconds =
            [(30, false), (55, false), (57, true), (62, true), (90, false), (118, true), (147, false)];
        for (second, is_back) in seconds {
            assert_eq!(plan.is_back(Duration::from_secs(second)), is_back, "{second} s");
        }
    }

    #[test]
    fn the_curve_repeats_in_long_shows() {
        assert_eq!(plan(304).period, Duration::from_mins(1));
        assert_eq!(plan(40).period, Duration::from_secs(36));
        assert_eq!(Plan::new(None, Instant::now()).period, Duration::from_mins(1));
    }
}

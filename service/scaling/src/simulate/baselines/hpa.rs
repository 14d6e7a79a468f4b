//! The Horizontal Pod Autoscaler of Kubernetes (`autoscaling/v2`) with an external metric and a target of
//! kind `AverageValue`, and the defaults of `behavior`.
//!
//! In: the total of the metric and the replicas, every [`Hpa::SYNC`] seconds. Out: the replicas wanted. Rules
//! about pods that are not ready or have no metric do not apply to such a metric: the total is divided by the
//! target, whoever is ready.

use std::collections::VecDeque;

use super::window::Window;
use crate::strategy::whole;

/// The rules and what they remember. Sources:
/// `pkg/controller/podautoscaler/{horizontal,replica_calculator}.go`, and the page "Horizontal Pod
/// Autoscaling" of the Kubernetes documentation for the defaults.
#[derive(Debug, Clone)]
pub struct Hpa {
    /// What one replica should have of the metric.
    target: f64,
    min: u64,
    max: u64,
    /// The recommendations of the stabilization window for decreases. For increases the window is 0 by
    /// default.
    recommended: Option<Window>,
    /// Changes of the last [`Hpa::PERIOD`], with their times, newest last.
    changes: VecDeque<(f64, i64)>,
}

impl Hpa {
    /// Seconds between two looks (`--horizontal-pod-autoscaler-sync-period`).
    pub const SYNC: u64 = 15;
    /// How far from 1 the ratio of metric and target may be without a change
    /// (`--horizontal-pod-autoscaler-tolerance`).
    pub const TOLERANCE: f64 = 0.1;
    /// Seconds over which a decrease takes the highest recommendation.
    pub const STABILIZATION: f64 = 300.0;
    /// Seconds over which the rates of change hold.
    pub const PERIOD: f64 = 15.0;
    /// An increase within a period: to the double, or by this many, whichever is more.
    pub const PODS_UP: u64 = 4;

    /// Without a past.
    pub fn new(target: f64, min: u64, max: u64) -> Self {
        Self { target, min, max, recommended: None, changes: VecDeque::new() }
    }

    /// One look. `total` is the metric summed over all replicas.
    pub fn sync(&mut self, now: f64, replicas: u64, total: f64) -> u64 {
        if replicas == 0 {
            // Scaling is disabled at 0.
            return 0;
        }
        if replicas < self.min || replicas > self.max {
            return replicas.clamp(self.min, self.max);
        }
        let wanted = self.by_metric(replicas, total);
        let stable = self.stabilize(now, replicas, wanted);
        self.limit(now, replicas, stable).clamp(self.min, self.max)
    }

    /// The change that followed: the rates count it.
    pub fn scaled(&mut self, now: f64, from: u64, to: u64) {
        self.changes.push_back((now, to.cast_signed() - from.cast_signed()));
    }

    fn by_metric(&self, replicas: u64, total: f64) -> u64 {
        let ratio = total / (self.target * replicas as f64);
        if (ratio - 1.0).abs() <= Self::TOLERANCE { replicas } else { whole(total / self.target) }
    }

    /// The count at the first look stands for what was recommended before it.
    fn stabilize(&mut self, now: f64, replicas: u64, wanted: u64) -> u64 {
        let window = self.recommended.get_or_insert_with(|| {
            let mut window = Window::new(Self::STABILIZATION);
            window.highest(now, replicas);
            window
        });
        let highest = window.highest(now, wanted);
        if wanted < replicas { highest.min(replicas) } else { wanted }
    }

    fn limit(&mut self, now: f64, replicas: u64, wanted: u64) -> u64 {
        while self.changes.front().is_some_and(|&(at, _)| at <= now - Self::PERIOD) {
            self.changes.pop_front();
        }
        let changed: i64 = self.changes.iter().map(|(_, change)| change).sum();
        let start = replicas.saturating_add_signed(-changed);
        let most = (start * 2).max(start + Self::PODS_UP).max(replicas);
        // Downwards 100 % may go in a period, which is no limit.
        wanted.min(most)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The examples of the documentation: 200m against 100m doubles, 50m halves, within a tenth nothing
    /// happens.
    #[test]
    fn the_ratio_rules_outside_of_the_tolerance() {
        let hpa = Hpa::new(100.0, 1, 100);
        let cases =
            [(3, 600.0, 6), (4, 200.0, 2), (3, 329.0, 3), (3, 331.0, 4), (3, 271.0, 3), (3, 269.0, 3)];
        for (replicas, total, wanted) in cases {
            assert_eq!(hpa.by_metric(replicas, total), wanted, "{total} on {replicas}");
        }
    }

    /// `replica_calculator_test.go`, per-pod external metric: 8600 m on 3 pods at 2150 m wants 4; 8600 m at
    /// 2867 m stays.
    #[test]
    fn external_metrics_per_pod_are_divided_by_the_target() {
        assert_eq!(Hpa::new(2.150, 1, 100).by_metric(3, 8.6), 4);
        assert_eq!(Hpa::new(2.867, 1, 100).by_metric(3, 8.6), 3);
    }

    /// `horizontal_test.go`, `TestNormalizeDesiredReplicas`: "stabilize", "no stabilize", "old
    /// recommendations".
    #[test]
    fn a_decrease_goes_to_the_highest_of_five_minutes() {
        let stabilized = |earlier: &[(f64, u64)], wanted: u64| {
            let mut hpa = Hpa::new(1.0, 1, 100);
            let window = hpa.recommended.insert(Window::new(Hpa::STABILIZATION));
            for &(ago, recommended) in earlier {
                window.highest(1000.0 - ago, recommended);
            }
            hpa.stabilize(1000.0, 100, wanted)
        };
        assert_eq!(stabilized(&[(120.0, 4), (60.0, 5)], 3), 5);
        assert_eq!(stabilized(&[(120.0, 1), (60.0, 2)], 3), 3);
        assert_eq!(stabilized(&[(600.0, 10), (540.0, 9)], 3), 3);
        assert_eq!(stabilized(&[(600.0, 10), (540.0, 9), (120.0, 5), (60.0, 4)], 3), 5);
    }

    /// `horizontal_test.go`, `TestScaleDownStabilizeInitialSize`: the size at the start is a recommendation.
    #[test]
    fn the_first_count_stays_for_five_minutes() {
        let mut hpa = Hpa::new(1.0, 1, 100);
        assert_eq!(hpa.sync(0.0, 10, 2.0), 10);
        assert_eq!(hpa.sync(300.0, 10, 2.0), 10);
        assert_eq!(hpa.sync(315.0, 10, 2.0), 2);
    }

    /// `horizontal_test.go`, `TestScaleRate`: 10 may go to 20 of 50 wanted; after 15 were added within the
    /// period, 100 may go to (100 - 15) × 2. From 1, four pods are more than the double (documentation of
    /// `behavior`).
    #[test]
    fn an_increase_doubles_within_a_period_or_adds_four() {
        let limited = |events: &[i64], replicas, wanted| {
            let mut hpa = Hpa::new(1.0, 1, 1000);
            hpa.changes.extend(events.iter().map(|&change| (995.0, change)));
            hpa.changes.push_front((980.0, 42));
            hpa.limit(1000.0, replicas, wanted)
        };
        assert_eq!(limited(&[], 10, 50), 20);
        assert_eq!(limited(&[1, 2, 3, 4, 5], 100, 500), 170);
        assert_eq!(limited(&[], 1, 50), 5);
        assert_eq!(limited(&[50], 100, 500), 100);
        assert_eq!(limited(&[], 100, 1), 1);
    }

    #[test]
    fn bounds_come_before_the_metric() {
        let mut hpa = Hpa::new(1.0, 3, 5);
        assert_eq!((hpa.sync(0.0, 2, 0.0), hpa.sync(0.0, 9, 99.0), hpa.sync(0.0, 0, 9.0)), (3, 5, 0));
    }
}

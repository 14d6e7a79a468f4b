//! The strategies of the Nomad Autoscaler, with its formulas (`plugins/builtin/strategy`, version 0.5.0).
//!
//! Its `fixed-value` needs no formula. One difference: it lets a NaN through, which here never arrives.

use super::whole;
use crate::policy::{Change, Steps, TargetValue, Threshold};

/// `target-value`: the count that brings `metric`, a mean over `count` instances, to the target. `None`
/// within the threshold, and where nothing would change.
pub fn target_value(count: u64, metric: f64, options: &TargetValue) -> Option<u64> {
    let factor = if options.target == 0.0 { metric } else { metric / options.target };
    let new = match count {
        0 if factor > 0.0 => exact(factor),
        0 => return None,
        _ if factor < 1.0 - options.threshold || factor > 1.0 + options.threshold => {
            whole(count as f64 * factor)
        }
        _ => return None,
    };
    changed(count, within(count, new, options.steps))
}

/// `threshold`: the count after the step, where at least `trigger` of the values lie from the lower bound up
/// to below the upper one. `None` otherwise.
pub fn threshold(count: u64, values: &[f64], options: &Threshold) -> Option<u64> {
    let lower = options.lower.unwrap_or(f64::NEG_INFINITY);
    let upper = options.upper.unwrap_or(f64::INFINITY);
    let hits = values.iter().filter(|value| **value >= lower && **value < upper).count();
    if (hits as u64) < options.trigger {
        return None;
    }
    let new = match options.change {
        Change::Delta(delta) => count.saturating_add_signed(delta),
        Change::Percentage(percentage) => whole(count as f64 * (1.0 + percentage / 100.0)),
        Change::Value(value) => value,
    };
    changed(count, new)
}

/// `pass-through`: the metric itself, without its fraction.
pub fn pass_through(count: u64, metric: f64, steps: Steps) -> Option<u64> {
    let new = exact(metric.trunc());
    changed(count, within(count, new, steps))
}

fn within(count: u64, new: u64, steps: Steps) -> u64 {
    let least = steps.max_scale_down.map_or(0, |most| count.saturating_sub(most));
    let most = steps.max_scale_up.map_or(u64::MAX, |most| count.saturating_add(most));
    new.clamp(least, most)
}

fn changed(count: u64, new: u64) -> Option<u64> {
    (new != count).then_some(new)
}

/// As [`whole`], without taking a small fraction for an error of rounding.
fn exact(number: f64) -> u64 {
    whole(number.ceil())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(target: f64) -> TargetValue {
        TargetValue { target, threshold: TargetValue::THRESHOLD, steps: Steps::default() }
    }

    /// The cases of `target-value/plugin/plugin_test.go` and of the strategy's page.
    #[test]
    fn target_value_is_the_nomad_autoscalers() {
        let cases = [
            // count, metric, target → new
            (2, 10.0, 10.0, None),
            (2, 10.09, 10.0, None),
            (2, 9.91, 10.0, None),
            (2, 15.0, 10.0, Some(3)),
            (2, 20.0, 10.0, Some(4)),
            (8, 5.0, 10.0, Some(4)),
            (2, 11.0, 10.0, Some(3)),
            (10, 9.8, 10.0, None),
            (100, 9.8, 10.0, Some(98)),
            (2, 0.0, 10.0, Some(0)),
            (0, 0.0, 10.0, None),
            (0, 5.0, 10.0, Some(1)),
            (0, 25.0, 10.0, Some(3)),
            (0, 1e-12, 10.0, Some(1)),
            (5, 2.0, 0.0, Some(10)),
        ];
        for (count, metric, of, new) in cases {
            assert_eq!(target_value(count, metric, &target(of)), new, "{count} × {metric} / {of}");
        }
    }

    #[test]
    fn steps_of_target_value_can_be_bounded() {
        let steps = Steps { max_scale_up: Some(2), max_scale_down: Some(3) };
        let bounded = TargetValue { steps, ..target(10.0) };
        assert_eq!(target_value(4, 40.0, &bounded), Some(6));
        assert_eq!(target_value(10, 1.0, &bounded), Some(7));
        assert_eq!(target_value(2, 1.0, &bounded), Some(1));
    }

    /// `threshold/plugin.go`: the bounds at :261-273, the three changes at :115-127 and :276-289.
    #[test]
    fn threshold_counts_values_within_the_bounds() {
        let of = |change| Threshold { lower: Some(10.0), upper: Some(20.0), trigger: 2, change };
        let delta = of(Change::Delta(3));
        assert_eq!(threshold(5, &[10.0, 19.9], &delta), Some(8));
        assert_eq!(threshold(5, &[10.0, 5.0, 19.9], &delta), Some(8), "they need not be one after another");
        assert_eq!(threshold(5, &[10.0, 20.0], &delta), None, "the upper bound is outside");
        assert_eq!(threshold(5, &[9.9, 15.0], &delta), None);
        assert_eq!(threshold(5, &[11.0, 12.0], &of(Change::Delta(-7))), Some(0), "never below 0");
        assert_eq!(threshold(5, &[11.0, 12.0], &of(Change::Percentage(50.0))), Some(8));
        assert_eq!(threshold(5, &[11.0, 12.0], &of(Change::Percentage(-50.0))), Some(3), "rounded up");
        assert_eq!(threshold(5, &[11.0, 12.0], &of(Change::Value(2))), Some(2));
        assert_eq!(threshold(5, &[11.0, 12.0], &of(Change::Value(5))), None, "no change");
        let open = Threshold { lower: None, upper: Some(20.0), trigger: 1, change: Change::Delta(-1) };
        assert_eq!(threshold(5, &[-1e9], &open), Some(4));
    }

    /// `pass-through/plugin.go:102-131`.
    #[test]
    fn pass_through_drops_the_fraction() {
        let free = Steps::default();
        assert_eq!(pass_through(5, 7.9, free), Some(7));
        assert_eq!(pass_through(5, 5.0, free), None);
        assert_eq!(pass_through(5, -3.0, free), Some(0));
        let steps = Steps { max_scale_up: Some(1), max_scale_down: Some(2) };
        assert_eq!((pass_through(5, 9.0, steps), pass_through(5, 0.0, steps)), (Some(6), Some(3)));
    }
}

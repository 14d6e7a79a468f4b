//! The formulas: from work to a number of instances.

use crate::policy::TargetValue;

/// What a division may be too high by without being another instance.
const ROUNDING: f64 = 1e-9;

/// How many instances keep `target` of their slots busy with `work`; enough at once, however many that is.
pub fn instances_for(work: f64, slots: f64, target: f64) -> u64 {
    whole(work / (slots * target))
}

/// The Nomad Autoscaler's `target-value` (`plugins/builtin/strategy/target-value/plugin/plugin.go`): the count that
/// brings `metric`, a mean over `count` instances, to the target. `None` within the threshold, and where nothing
/// would change.
pub fn target_value(count: u64, metric: f64, options: &TargetValue) -> Option<u64> {
    let factor = if options.target == 0.0 { metric } else { metric / options.target };
    let new = match count {
        0 if factor > 0.0 => whole(factor),
        0 => return None,
        _ if factor < 1.0 - options.threshold || factor > 1.0 + options.threshold => {
            whole(count as f64 * factor)
        }
        _ => return None,
    };
    let least = options.max_scale_down.map_or(0, |most| count.saturating_sub(most));
    let most = options.max_scale_up.map_or(u64::MAX, |most| count.saturating_add(most));
    Some(new.clamp(least, most)).filter(|&new| new != count)
}

/// The next whole number; nothing below 0 or beyond what a count can be.
fn whole(number: f64) -> u64 {
    let up = (number - ROUNDING).ceil().clamp(0.0, f64::from(u32::MAX));
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "within 0 and u32::MAX")]
    let count = up as u64;
    count
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(target: f64) -> TargetValue {
        TargetValue { target, threshold: TargetValue::THRESHOLD, max_scale_up: None, max_scale_down: None }
    }

    #[test]
    fn concurrency_is_enough_in_one_step() {
        assert_eq!(instances_for(0.0, 20.0, 0.8), 0);
        assert_eq!(instances_for(16.0, 20.0, 0.8), 1);
        assert_eq!(instances_for(16.1, 20.0, 0.8), 2);
        assert_eq!(instances_for(1600.0, 20.0, 0.8), 100);
        assert_eq!(instances_for(21.0, 10.0, 0.7), 3);
        assert_eq!(instances_for(f64::NAN, 10.0, 0.7), 0);
    }

    /// The documented behaviour: `plugin_test.go` and the page of the strategy.
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
            (5, 2.0, 0.0, Some(10)),
        ];
        for (count, metric, target, new) in cases {
            assert_eq!(target_value(count, metric, &options(target)), new, "{count} × {metric} / {target}");
        }
    }

    #[test]
    fn steps_of_target_value_can_be_bounded() {
        let bounded = TargetValue { max_scale_up: Some(2), max_scale_down: Some(3), ..options(10.0) };
        assert_eq!(target_value(4, 40.0, &bounded), Some(6));
        assert_eq!(target_value(10, 1.0, &bounded), Some(7));
        assert_eq!(target_value(2, 1.0, &bounded), Some(1));
    }
}

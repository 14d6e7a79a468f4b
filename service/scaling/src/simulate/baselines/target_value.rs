//! The Nomad Autoscaler with one check of strategy `target-value` on the work per server that is up, and its
//! defaults.
//!
//! In: work, servers and running instances, every [`NomadAutoscaler::EVALUATION`] seconds. Out: the count it
//! asks Nomad for. A refusal because of a running deployment costs it no cooldown; a success costs one in
//! either direction.

use crate::policy::{Steps, TargetValue};
use crate::strategy::target_value;

/// The rules and what they remember. Sources: `policy/handler.go` and
/// `plugins/builtin/{strategy/target-value,target/nomad}` of the Nomad Autoscaler 0.5.0.
#[derive(Debug, Clone)]
pub struct NomadAutoscaler {
    options: TargetValue,
    /// Seconds between two evaluations.
    evaluation: u64,
    /// Seconds after a scale in which nothing is asked.
    cooldown: f64,
    min: u64,
    max: u64,
    /// Until when it cools down.
    cools_until: f64,
}

impl NomadAutoscaler {
    /// Seconds between two evaluations (`default_evaluation_interval`).
    pub const EVALUATION: u64 = 10;
    /// Seconds of `default_cooldown`, after increases too.
    pub const COOLDOWN: f64 = 300.0;

    /// With its defaults, without a past: after a start it does not cool down.
    pub fn new(target: f64, min: u64, max: u64) -> Self {
        Self::paced(target, Self::EVALUATION, Self::COOLDOWN, min, max)
    }

    /// With another evaluation interval and cooldown, in seconds.
    pub fn paced(target: f64, evaluation: u64, cooldown: f64, min: u64, max: u64) -> Self {
        let options = TargetValue { target, threshold: TargetValue::THRESHOLD, steps: Steps::default() };
        Self { options, evaluation, cooldown, min, max, cools_until: 0.0 }
    }

    /// Seconds between two evaluations.
    pub fn evaluation(&self) -> u64 {
        self.evaluation
    }

    /// One evaluation: what to ask Nomad for, if anything. The formula runs on the *running* instances; with
    /// no server up the query has no value, and an evaluation without a value is given up.
    pub fn evaluate(&self, now: f64, running: u64, up: u64, work: f64) -> Option<u64> {
        let metric = (up > 0).then(|| work / up as f64)?;
        let wanted = target_value(running, metric, &self.options).map(|new| new.clamp(self.min, self.max));
        wanted.filter(|&new| new != running && now >= self.cools_until)
    }

    /// Nomad did what was asked.
    pub fn scaled(&mut self, now: f64) {
        self.cools_until = now + self.cooldown;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scaler() -> NomadAutoscaler {
        NomadAutoscaler::new(10.0, 2, 20)
    }

    /// `target-value/plugin/plugin_test.go` has the formula's cases (see `strategy`); here: on running
    /// instances, capped.
    #[test]
    fn the_formula_runs_on_running_instances_within_min_and_max() {
        assert_eq!(scaler().evaluate(0.0, 4, 4, 80.0), Some(8));
        assert_eq!(scaler().evaluate(0.0, 6, 4, 80.0), Some(12));
        assert_eq!(scaler().evaluate(0.0, 4, 4, 4000.0), Some(20));
        assert_eq!(scaler().evaluate(0.0, 4, 4, 0.0), Some(2));
        assert_eq!(scaler().evaluate(0.0, 4, 4, 40.0), None);
    }

    /// `policy/handler_test.go`: a check whose source has no value ends the evaluation.
    #[test]
    fn without_a_value_nothing_is_asked() {
        assert_eq!(scaler().evaluate(0.0, 4, 0, 80.0), None);
    }

    /// `policy/handler.go`: both directions wait for the cooldown; `target/nomad/plugin/plugin.go`: a blocked
    /// scale is none.
    #[test]
    fn a_scale_cools_down_and_a_refusal_does_not() {
        let mut scaler = scaler();
        assert_eq!(scaler.evaluate(0.0, 4, 4, 80.0), Some(8));
        assert_eq!(scaler.evaluate(10.0, 4, 4, 80.0), Some(8));
        scaler.scaled(10.0);
        assert_eq!(scaler.evaluate(309.0, 8, 8, 800.0), None);
        assert_eq!(scaler.evaluate(309.0, 8, 8, 8.0), None);
        assert_eq!(scaler.evaluate(310.0, 8, 8, 160.0), Some(16));
    }
}

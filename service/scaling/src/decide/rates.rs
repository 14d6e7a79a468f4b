//! How far a count may go by the rates of `scale_up` and `scale_down`, as Kubernetes' HPA computes it
//! (`pkg/controller/podautoscaler/horizontal.go`).
//!
//! The count at the start of a period is today's without what was added since, and with what was taken away.
//! From there a rate allows so many instances, or so many hundredths. What has already happened is never
//! undone.

use std::time::Duration;

use super::View;
use crate::policy::{Behavior, Rate, RateUnit, Select};
use crate::strategy::whole;

impl View<'_> {
    /// The highest count that the rates of `scale_up` allow.
    pub(super) fn most(&self) -> u64 {
        let behavior = &self.policy.scale_up;
        let limit = |rate: &Rate| {
            let start = self.count_before(rate.period);
            match rate.unit {
                RateUnit::Instances => whole(start + rate.value),
                RateUnit::Percent => whole(start * (1.0 + rate.value / 100.0)),
            }
        };
        let free = |limits: &[u64], select| match select {
            Select::Max => limits.iter().max().copied(),
            _ => limits.iter().min().copied(),
        };
        // A share of nothing is nothing: the first instance is not for rates to forbid.
        let least =
            if behavior.select == Select::Disabled { self.seen.count } else { self.seen.count.max(1) };
        self.limit(behavior, limit, free).unwrap_or(u64::MAX).max(least)
    }

    /// The lowest count that the rates of `scale_down` allow.
    pub(super) fn least(&self) -> u64 {
        let behavior = &self.policy.scale_down;
        let limit = |rate: &Rate| {
            let start = self.count_before(rate.period);
            match rate.unit {
                RateUnit::Instances => floor(start - rate.value),
                RateUnit::Percent => floor(start * (1.0 - rate.value / 100.0)),
            }
        };
        let free = |limits: &[u64], select| match select {
            Select::Max => limits.iter().min().copied(),
            _ => limits.iter().max().copied(),
        };
        self.limit(behavior, limit, free).unwrap_or(0).min(self.seen.count)
    }

    fn limit(
        &self,
        behavior: &Behavior,
        limit: impl Fn(&Rate) -> u64,
        choose: impl Fn(&[u64], Select) -> Option<u64>,
    ) -> Option<u64> {
        if behavior.select == Select::Disabled {
            return Some(self.seen.count);
        }
        let limits: Vec<u64> = behavior.rates.iter().map(limit).collect();
        choose(&limits, behavior.select)
    }

    /// The count at the start of a period that ends now.
    fn count_before(&self, period: Duration) -> f64 {
        let recent = self.seen.scales.iter().filter(|scale| self.since(scale.at) < period);
        recent
            .fold(self.seen.count as f64, |count, scale| count + scale.from as f64 - scale.to as f64)
            .max(0.0)
    }
}

fn floor(count: f64) -> u64 {
    whole((count + 1e-9).floor())
}

//! What each check asks for.
//!
//! In: a check and what its source says. Out: a [`Vote`], with its numbers and its reason. Where the source
//! is unknown it asks for nothing: missing is not zero.

use std::collections::BTreeMap;

use super::View;
use crate::decision::Vote;
use crate::history::{Demand, Load, Metric};
use crate::instances::unreplaced;
use crate::policy::{Check, Concurrency, Source, Strategy, TargetValue, Threshold};
use crate::seen::{Deployment, Seen};
use crate::strategy::{Need, Outlook, need, pass_through, target_value, threshold, whole};

/// What a strategy makes of it.
#[derive(Default)]
struct Opinion {
    inputs: BTreeMap<&'static str, f64>,
    wants: Option<u64>,
    stable: Option<u64>,
    reason: String,
}

impl View<'_> {
    pub(super) fn vote(&self, check: &Check) -> Vote {
        let opinion = match (&check.source, &check.strategy) {
            (_, Strategy::FixedValue(count)) => fixed(*count),
            (Source::Haproxy(_), Strategy::Concurrency(options)) => self.by_load(options),
            (_, strategy) => match values(check, self.seen) {
                Ok(values) => self.by_values(strategy, &check.source, &values),
                Err(reason) => Opinion { reason, ..Opinion::default() },
            },
        };
        Vote {
            check: check.label.clone(),
            group: check.group.clone(),
            strategy: check.strategy.name(),
            inputs: opinion.inputs,
            wants: opinion.wants,
            stable: opinion.stable,
            reason: opinion.reason,
        }
    }

    fn by_values(&self, strategy: &Strategy, source: &Source, values: &[f64]) -> Opinion {
        let last = values.last().copied().unwrap_or_default();
        match strategy {
            Strategy::Concurrency(options) => {
                let load = Load { work: last, steady: last, ..Load::default() };
                self.by_work(options, &load)
            }
            Strategy::TargetValue(options) => self.by_target_value(options, source, last),
            Strategy::Threshold(options) => self.by_threshold(options, values),
            Strategy::PassThrough(options) => {
                let wants = pass_through(self.seen.count, last, options.steps).unwrap_or(self.seen.count);
                Opinion::of(wants, [("value", last)], format!("the value is {last}"))
            }
            Strategy::FixedValue(count) => fixed(*count),
        }
    }

    fn by_load(&self, options: &Concurrency) -> Opinion {
        match &self.seen.demand {
            Demand::Known(load) => self.by_work(options, load),
            Demand::Unknown { reason } => {
                Opinion { reason: format!("its load is unknown: {reason}"), ..Opinion::default() }
            }
        }
    }

    fn by_work(&self, options: &Concurrency, load: &Load) -> Opinion {
        let written = options.slots.or(self.policy.slots).map(|slots| slots as f64);
        let Some(slots) = written.or(load.slots).filter(|slots| *slots > 0.0) else {
            let reason = "what one instance can do at once is unknown: set slots in the policy, or maxconn on the server lines";
            return Opinion { inputs: inputs(load), reason: reason.to_owned(), ..Opinion::default() };
        };
        let load = Load { slots: Some(slots), rise: self.carried(load.rise), ..load.clone() };
        let start = self.seen.starts_for(load.serving, self.now);
        let horizon = self.seen.timing.block + self.seen.timing.start;
        let need = need(&load, options, Outlook { start, horizon, rush: self.rush });
        let (mut wants, stable) = self.counts(&need, slots);
        let mut reason = work_words(&load, &need, slots);
        if load.surges(self.policy.panic.queue) && wants > self.seen.count {
            wants = self.seen.count;
            reason +=
                "; a queue has just appeared, and is measured for a moment before anything is asked for";
        }
        let mut inputs = inputs(&load);
        inputs.extend([("busy", need.busy), ("needs", need.steady), ("queue_then", need.queue)]);
        Opinion { inputs, wants: Some(wants), stable: Some(stable), reason }
    }

    /// The rise of arrivals as far as it is carried on. The scale under way has it in it already; for another one that comes on
    /// top and has the instances of the first begin anew, what it is for must be there, and not only to be expected.
    fn carried(&self, rise: f64) -> f64 {
        if self.seen.deployment == Deployment::Own { 0.0 } else { rise }
    }

    /// What the need amounts to in instances, and what it does without the queue. Places that allocations
    /// hold which are cut off are needed on top. A count that covers half of the margin is kept, and so is one that
    /// instances are drained for.
    fn counts(&self, need: &Need, slots: f64) -> (u64, u64) {
        let (count, lost) = (self.seen.kept(), unreplaced(&self.seen.instances, self.seen.count));
        let instances = |of: f64| whole(of / slots) + lost;
        let wanted = instances(need.wanted);
        let wants = if instances(need.least) > count { wanted } else { wanted.min(count) };
        (wants, instances(need.steady))
    }

    /// The metric is a mean over the instances that serve or run; a step is from the wanted count, since
    /// those that start were asked for already: they never turn a step up into one down, nor the reverse.
    fn by_target_value(&self, options: &TargetValue, source: &Source, metric: f64) -> Opinion {
        let (seen, count) = (self.seen, self.seen.count);
        let serving = self.load().map(|load| load.serving).filter(|_| matches!(source, Source::Haproxy(_)));
        let over = serving.unwrap_or(seen.running);
        let most = options.steps.max_scale_up.map_or(u64::MAX, |most| count.saturating_add(most));
        let least = options.steps.max_scale_down.map_or(0, |most| count.saturating_sub(most));
        let wants = match target_value(over, metric, options) {
            Some(new) if new > over => new.clamp(count, most),
            Some(new) => new.clamp(least, count),
            None => count,
        };
        let words = format!("{metric:.2} per instance of {over} for a target of {}", options.target);
        Opinion::of(wants, [("value", metric), ("target", options.target), ("instances", over as f64)], words)
    }

    fn by_threshold(&self, options: &Threshold, values: &[f64]) -> Opinion {
        let changed = threshold(self.seen.count, values, options);
        let words = match changed {
            Some(_) => {
                format!("{} of {} values or more lie within the bounds", options.trigger, values.len())
            }
            None => {
                format!("fewer than {} of {} values lie within the bounds", options.trigger, values.len())
            }
        };
        let last = values.last().copied().unwrap_or_default();
        Opinion::of(
            changed.unwrap_or(self.seen.count),
            [("value", last), ("values", values.len() as f64)],
            words,
        )
    }
}

impl Opinion {
    fn of<const N: usize>(wants: u64, inputs: [(&'static str, f64); N], reason: String) -> Self {
        Self { inputs: BTreeMap::from(inputs), wants: Some(wants), stable: Some(wants), reason }
    }
}

fn fixed(count: u64) -> Opinion {
    Opinion::of(count, [], format!("always {count}"))
}

/// The numbers of the check's window.
fn values(check: &Check, seen: &Seen) -> Result<Vec<f64>, String> {
    let values: Vec<f64> = match seen.metrics.get(&check.label) {
        None => return Err("its source has not answered yet".to_owned()),
        Some(Metric::Unknown { reason }) => return Err(format!("its value is unknown: {reason}")),
        Some(Metric::Known { values, .. }) => {
            values.iter().copied().filter(|value| value.is_finite()).collect()
        }
    };
    if values.is_empty() { Err("its source has no value".to_owned()) } else { Ok(values) }
}

fn inputs(load: &Load) -> BTreeMap<&'static str, f64> {
    let mut inputs = BTreeMap::from([
        ("work", load.work),
        ("queued", load.queued),
        ("steady", load.steady),
        ("serving", load.serving as f64),
    ]);
    let some = [
        ("slots", load.slots),
        ("rate", load.rate),
        ("completions", load.completions),
        ("tunnels", Some(load.tunnels).filter(|tunnels| *tunnels > 0.0)),
        ("service_time", load.service_time),
    ];
    inputs.extend(some.into_iter().filter_map(|(name, value)| Some((name, value?))));
    inputs
}

fn work_words(load: &Load, need: &Need, slots: f64) -> String {
    let (work, busy, wanted) = (load.work, need.busy, need.wanted);
    let tunnels =
        if load.tunnels < 0.5 { String::new() } else { format!(" and {:.0} tunnels", load.tunnels) };
    let words = format!(
        "work of {work:.1}{tunnels}, {busy:.1} slots busy and {wanted:.1} needed on instances of {slots:.0} slots"
    );
    if need.queue < 0.5 {
        return words;
    }
    format!("{words}, {:.0} waiting when new ones serve", need.queue)
}

//! The strategies and their options.

use std::time::Duration;

use serde::Serialize;

/// How a check gets from what it sees to a count.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Strategy {
    /// Enough slots for the work, with a margin for its spread.
    Concurrency(Concurrency),
    /// The Nomad Autoscaler's: so many instances that each has a given amount.
    TargetValue(TargetValue),
    /// The Nomad Autoscaler's: a step, where enough values lie between two bounds.
    Threshold(Threshold),
    /// The Nomad Autoscaler's: always this count.
    FixedValue(u64),
    /// The Nomad Autoscaler's: the value is the count.
    PassThrough(PassThrough),
}

impl Strategy {
    /// Their names, in order of the alphabet.
    pub const NAMES: [&'static str; 5] =
        ["concurrency", "fixed-value", "pass-through", "target-value", "threshold"];

    /// Its name in a policy.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Concurrency(_) => "concurrency",
            Self::TargetValue(_) => "target-value",
            Self::Threshold(_) => "threshold",
            Self::FixedValue(_) => "fixed-value",
            Self::PassThrough(_) => "pass-through",
        }
    }
}

/// Options of the strategy `concurrency`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Concurrency {
    /// The share of the slots that may be busy, more than 0 and at most 1. With it, `wait` means nothing.
    pub target: Option<f64>,
    /// What one instance can do at once; before the policy's own `slots`.
    pub slots: Option<u64>,
    /// The share of requests that may find every slot busy, more than 0 and less than 1.
    pub wait: f64,
    /// The time in which a queue should be gone once new instances serve.
    pub queue_drain: Duration,
}

impl Concurrency {
    /// Waits are short then (the time of a request over the number of free slots, in the mean), while small
    /// groups are not doubled for them: 8 busy slots get 10. Above 26 busy slots [`HEADROOM`](Self::HEADROOM)
    /// is more.
    pub const WAIT: f64 = 0.5;
    /// The time in which the rest of the queue goes once instances that were asked for serve: half of it
    /// would cost twice the extra instances, for less than the time that they took to start.
    pub const QUEUE_DRAIN: Duration = Duration::from_secs(10);
    /// What is kept free at the least, as a share of the busy slots: no group is so large that its load
    /// cannot grow by a tenth while a deployment keeps it from being scaled.
    pub const HEADROOM: f64 = 0.1;
    /// What is kept free for each second until a later decision can take effect, as a share of the busy
    /// slots: a load that grows no faster needs no trend to be served in time. A third of it let ten times as
    /// many requests of a real load balancer be late in simulations, see docs/simulation.md; and it takes
    /// fewer instances than to aim at 70 % busy up to a horizon of a minute.
    pub const GROWTH: f64 = 0.006;
    /// The most that is kept free for growth: a group that starts for minutes is left 70 % busy, as others
    /// are.
    pub const MOST_GROWTH: f64 = 0.43;
}

impl Default for Concurrency {
    fn default() -> Self {
        Self { target: None, slots: None, wait: Self::WAIT, queue_drain: Self::QUEUE_DRAIN }
    }
}

/// How far one step may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Steps {
    /// How many instances one step may add.
    pub max_scale_up: Option<u64>,
    /// How many instances one step may take away.
    pub max_scale_down: Option<u64>,
}

/// Options of the strategy `target-value`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct TargetValue {
    /// What one instance should have.
    pub target: f64,
    /// How far from the target, as a share of it, nothing happens.
    pub threshold: f64,
    /// How far one step may go.
    pub steps: Steps,
}

impl TargetValue {
    /// As in the Nomad Autoscaler.
    pub const THRESHOLD: f64 = 0.01;
}

/// Options of the strategy `threshold`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Threshold {
    /// Values from here on count; `None`: however low.
    pub lower: Option<f64>,
    /// Values below this count; `None`: however high.
    pub upper: Option<f64>,
    /// How many values must lie between, so that something happens.
    pub trigger: u64,
    /// What happens then.
    pub change: Change,
}

impl Threshold {
    /// As in the Nomad Autoscaler.
    pub const TRIGGER: u64 = 5;
}

/// What the strategy `threshold` does to the count.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// Adds so many; takes them away, where negative.
    Delta(i64),
    /// Adds so many hundredths of it.
    Percentage(f64),
    /// Sets it.
    Value(u64),
}

/// Options of the strategy `pass-through`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct PassThrough {
    /// How far one step may go.
    pub steps: Steps,
}

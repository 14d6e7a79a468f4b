//! A scaling policy, understood.

use std::time::Duration;

use serde::Serialize;

/// What a group's instances are scaled by.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Policy {
    /// Nomad's ID of it.
    pub id: String,
    /// The job's namespace.
    pub namespace: String,
    /// The job.
    pub job: String,
    /// The task group.
    pub group: String,
    /// The fewest instances.
    pub min: u64,
    /// The most instances.
    pub max: u64,
    /// Whether it is in force.
    pub enabled: bool,
    /// How long no decrease follows after a scale in either direction; also the time whose highest demand a
    /// decrease must cover.
    pub cooldown: Duration,
    /// How long no further increase follows after an increase.
    pub cooldown_on_scale_up: Duration,
    /// How often it should be looked at.
    pub evaluation_interval: Duration,
    /// What a check that cannot vote does to the others.
    pub on_check_error: OnCheckError,
    /// What one instance can do at once, where the policy says so.
    pub slots: Option<u64>,
    /// Whether decisions are only shown.
    pub dry_run: bool,
    /// What votes; with none only `min` and `max` are kept.
    pub checks: Vec<Check>,
}

impl Policy {
    /// A minute without decrease: the deployment that the last scale started is over by then (Nomad's
    /// `min_healthy_time` is 10 s, plus the start of an instance), and bursts some seconds apart are covered, as by
    /// Knative's stable window of 60 s. The Nomad Autoscaler's 5 minutes also hold *increases* back, which this
    /// cooldown never does, so a decrease that comes too early costs one start.
    pub const COOLDOWN: Duration = Duration::from_mins(1);
    /// None: Nomad itself refuses to scale while the deployment of the last increase runs.
    pub const COOLDOWN_ON_SCALE_UP: Duration = Duration::ZERO;
    /// As often as HAProxy is read. (The Nomad Autoscaler's default is 10 s.)
    pub const EVALUATION_INTERVAL: Duration = Duration::from_secs(1);
}

/// What a check that cannot vote, because its source is unknown, does to the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum OnCheckError {
    /// The others may still raise the count; none may lower it.
    #[default]
    Ignore,
    /// Nothing is done, other than to keep `min` and `max`.
    Fail,
}

/// One voice in a policy. Its source is HAProxy, the only one there is so far.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Check {
    /// Its label.
    pub label: String,
    /// How it gets from demand to a count.
    pub strategy: Strategy,
}

/// How a check gets from demand to a count.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Strategy {
    /// Enough instances that the work keeps a given share of their slots busy.
    Concurrency(Concurrency),
    /// The Nomad Autoscaler's: so many instances that each has a given amount of work.
    TargetValue(TargetValue),
}

impl Strategy {
    /// Its name in a policy.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Concurrency(_) => "concurrency",
            Self::TargetValue(_) => "target-value",
        }
    }
}

/// Options of the strategy `concurrency`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Concurrency {
    /// The share of the slots that may be busy, more than 0 and at most 1.
    pub target: f64,
    /// What one instance can do at once; before the policy's own `slots`.
    pub slots: Option<u64>,
}

impl Concurrency {
    /// A fifth in reserve for the spread of arrivals and for the time that an instance takes to start.
    pub const TARGET: f64 = 0.8;
}

/// Options of the strategy `target-value`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct TargetValue {
    /// The work that one instance should have.
    pub target: f64,
    /// How far from the target, as a share of it, nothing happens.
    pub threshold: f64,
    /// How many instances one step may add.
    pub max_scale_up: Option<u64>,
    /// How many instances one step may take away.
    pub max_scale_down: Option<u64>,
}

impl TargetValue {
    /// As in the Nomad Autoscaler.
    pub const THRESHOLD: f64 = 0.01;
}

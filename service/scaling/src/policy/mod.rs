//! A scaling policy, understood.
//!
//! In: what [`parse`](crate::parse()) made of a job's `scaling` block. Out: values that
//! [`decide`](crate::decide()) reads. Nothing here fails: what cannot be meant does not parse.

mod behavior;
mod check;
mod strategy;

use std::time::Duration;

use serde::Serialize;

use crate::schedule::Schedule;

pub use behavior::{Behavior, Rate, RateUnit, Select};
pub use check::{Check, NomadMetric, OnCheckError, Resource, Signal, Source, Statistic, Window};
pub use strategy::{Change, Concurrency, PassThrough, Steps, Strategy, TargetValue, Threshold};

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
    /// How long no decrease follows after an increase.
    pub cooldown: Duration,
    /// How long no decrease follows after a decrease: `cooldown`, where it is written.
    pub cooldown_on_scale_down: Duration,
    /// How long no further increase follows after an increase.
    pub cooldown_on_scale_up: Duration,
    /// How often it should be looked at.
    pub evaluation_interval: Duration,
    /// What a check that cannot vote does to the others, where the check itself does not say.
    pub on_check_error: OnCheckError,
    /// What happens to the count while a check's source is unknown.
    pub on_missing: OnMissing,
    /// What one instance can do at once, where the policy says so.
    pub slots: Option<u64>,
    /// What something that the instances share can bear.
    pub max_by: Option<MaxBy>,
    /// How fast the count may rise.
    pub scale_up: Behavior,
    /// How fast the count may fall.
    pub scale_down: Behavior,
    /// When a queue counts as an emergency.
    pub panic: Panic,
    /// How long sessions on an instance that is to go are waited for.
    pub drain: Drain,
    /// When it is in force, and floors and ceilings by time.
    pub schedules: Vec<Schedule>,
    /// After how long without any work the last instance goes; `None`: it stays.
    pub scale_to_zero: Option<Duration>,
    /// Whether decisions are only shown.
    pub dry_run: bool,
    /// What votes; with none only `min`, `max` and schedules are kept.
    pub checks: Vec<Check>,
}

impl Policy {
    /// Long enough for the deployment of the last scale to be over (start, and 10 s of `min_healthy_time`),
    /// short enough that an hour with a hundred bursts does not pay for all of them. The Nomad Autoscaler's 5
    /// minutes also hold *increases* back, which this cooldown never does, so a decrease that comes too early
    /// costs one start.
    pub const COOLDOWN: Duration = Duration::from_secs(15);
    /// None: the window of `scale_down` is over when the first decrease comes, and load that falls on needs
    /// no second.
    pub const COOLDOWN_ON_SCALE_DOWN: Duration = Duration::ZERO;
    /// None: Nomad itself refuses to scale while the deployment of the last increase runs.
    pub const COOLDOWN_ON_SCALE_UP: Duration = Duration::ZERO;
    /// As often as HAProxy is read. (The Nomad Autoscaler's default is 10 s.)
    pub const EVALUATION_INTERVAL: Duration = Duration::from_secs(1);
    /// How long a group is idle before its last instance goes, where `scale_to_zero` is set: the time that
    /// KEDA's `cooldownPeriod` gives.
    pub const IDLE: Duration = Duration::from_mins(5);

    /// The longest time that a decision looks back on; what keeps a history should keep as much.
    pub fn looks_back(&self) -> Duration {
        let windows = self.checks.iter().map(|check| check.window.span() + check.offset);
        let rules = [self.scale_down.longest_window(), self.scale_to_zero.unwrap_or_default()];
        windows.chain(rules).max().unwrap_or_default()
    }
}

/// What happens to the count while a check's source is unknown. It never falls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum OnMissing {
    /// It stays; another check may raise it.
    #[default]
    Hold,
    /// It rises to this at least.
    Floor(u64),
    /// It rises by a quarter, once in each `cooldown`.
    Up,
}

/// A thing that all instances share, such as a database that takes so many connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct MaxBy {
    /// How much of it one instance takes.
    pub per_instance: u64,
    /// How much there is.
    pub budget: u64,
}

impl MaxBy {
    /// How many instances it bears.
    pub fn instances(self) -> u64 {
        self.budget / self.per_instance.max(1)
    }
}

/// When a queue counts as an emergency: windows and tolerances do not hold an increase back, and nothing is
/// taken away.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Panic {
    /// How long after the last sign of it nothing is taken away.
    pub window: Duration,
    /// For how long the instances that serve would be busy with the requests that wait, so that it is one.
    pub queue: Duration,
}

impl Panic {
    /// The time that new instances are busy with what had been waiting, its few long requests among them.
    /// (Knative's is 6 s, after which its stable window of 60 s still holds.)
    pub const WINDOW: Duration = Duration::from_secs(10);
    /// Shorter waits are a burst that is over before another instance could help.
    pub const QUEUE: Duration = Duration::from_millis(250);
}

impl Default for Panic {
    fn default() -> Self {
        Self { window: Self::WINDOW, queue: Self::QUEUE }
    }
}

/// How long sessions on an instance that is to go are waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Drain {
    /// The longest wait.
    pub deadline: Duration,
}

impl Drain {
    /// Longer than most requests, shorter than most people wait for a deploy.
    pub const DEADLINE: Duration = Duration::from_secs(30);
}

impl Default for Drain {
    fn default() -> Self {
        Self { deadline: Self::DEADLINE }
    }
}

//! What a decision is made from, other than the policy.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use crate::decision::{Direction, LastScale};
use crate::history::{Demand, Gain, Metric};
use crate::instances::Instance;
use crate::memory::Memory;

/// What a decision is made from. What is not known stays at its default, which never makes a decision bolder.
#[derive(Debug, Clone, PartialEq)]
pub struct Seen {
    /// The count that Nomad wants now.
    pub count: u64,
    /// The index of the job that `count` was read with.
    pub job_modify_index: u64,
    /// How many instances run.
    pub running: u64,
    /// Whether the job was stopped.
    pub job_stopped: bool,
    /// The group's load, by HAProxy.
    pub demand: Demand,
    /// What the other checks' sources say, by the check's label; [`metrics`](crate::metrics) makes those of
    /// HAProxy. A label that is not there is missing.
    pub metrics: BTreeMap<String, Metric>,
    /// When the count was changed last, and which way; from Nomad's events, so that it outlives a restart.
    pub last_scale: Option<LastScale>,
    /// The changes of the count that Nomad still knows, in any order; rates are counted from them.
    pub scales: Vec<Scale>,
    /// What was recommended lately.
    pub memory: Memory,
    /// What the last increase brought; `None` where it cannot be told.
    pub gain: Option<Gain>,
    /// How long things take.
    pub timing: Timing,
    /// The group's allocations; none where they are not known.
    pub instances: Vec<Instance>,
    /// The count for which instances are being drained; `None` where none are.
    pub draining: Option<u64>,
    /// How long sessions had to be waited for when instances were drained last.
    pub drains: Duration,
    /// How many instances the cluster has room for, those that are there included; `None` where it was not
    /// asked.
    pub placeable: Option<u64>,
    /// The deployment under way, which Nomad would refuse to scale in.
    pub deployment: Deployment,
    /// When this weir became the leader, or a load balancer its pair's master: connections come back in a
    /// burst then.
    pub role_changed: Option<SystemTime>,
    /// Connections that the load balancers hold for the group while it has no instance; or why nobody would hold
    /// them, so that nothing would bring the group back from zero.
    pub held: Result<u64, String>,
}

impl Default for Seen {
    fn default() -> Self {
        Self {
            count: 0,
            job_modify_index: 0,
            running: 0,
            job_stopped: false,
            demand: Demand::Unknown { reason: "HAProxy was not read yet".to_owned() },
            metrics: BTreeMap::new(),
            last_scale: None,
            scales: Vec::new(),
            memory: Memory::default(),
            gain: None,
            timing: Timing::default(),
            instances: Vec::new(),
            draining: None,
            drains: Duration::ZERO,
            placeable: None,
            deployment: Deployment::None,
            role_changed: None,
            held: Err("nothing holds the first requests while there is none".to_owned()),
        }
    }
}

/// A change of the count, by whomever.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scale {
    /// When.
    pub at: SystemTime,
    /// The count before.
    pub from: u64,
    /// The count after.
    pub to: u64,
}

/// How long things take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    /// From asking for an instance until its server takes sessions.
    pub start: Duration,
    /// From one scale until Nomad accepts the next: the deployment that the scale starts, `start` and
    /// `min_healthy_time`.
    pub block: Duration,
}

impl Default for Timing {
    /// An instance that takes 5 s, and Nomad's default `min_healthy_time`, 10 s. What is taken for too long
    /// asks for instances against a queue that will not be;
    /// [`History::served_after`](crate::History::served_after) tells better.
    fn default() -> Self {
        Self { start: Duration::from_secs(5), block: Duration::from_secs(15) }
    }
}

/// A deployment under way.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Deployment {
    /// None, or it is not known.
    #[default]
    None,
    /// One that a scale of weir's started; it may be superseded.
    Own,
    /// Somebody else's; it is left alone.
    Foreign,
}

impl Seen {
    /// The count that serves: without those that are being drained.
    pub(crate) fn kept(&self) -> u64 {
        self.draining.map_or(self.count, |target| target.min(self.count))
    }

    /// The last part of the window `back`, in which instances are drained already where that takes long: what is tried can be
    /// taken back in milliseconds, and what was drained for so long without a queue is not needed.
    pub fn tries(&self, back: Duration) -> Duration {
        self.drains.min(back / 2)
    }

    /// For how long still the newest instances start, where some do that were asked for; else how long new ones would
    /// take. Long after an increase, what does not serve is drained or cannot be placed.
    pub(crate) fn starts_for(&self, serving: u64, now: SystemTime) -> Duration {
        let start = self.timing.start;
        let up = self.last_scale.filter(|last| last.direction == Direction::Up && serving < self.count);
        let since = up.map(|last| now.duration_since(last.at).unwrap_or_default());
        since.filter(|since| *since < start * 2).map_or(start, |since| start.saturating_sub(since))
    }
}

//! What was decided, why, and from what: the record of one look at one policy.

use std::collections::BTreeMap;
use std::time::SystemTime;

use jiff::Timestamp;
use serde::{Serialize, Serializer};

use crate::history::Demand;

/// A decision, with everything that led to it. Deciding again from the same inputs gives the same.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Decision {
    /// When it was made.
    #[serde(serialize_with = "in_iso_8601")]
    pub at: SystemTime,
    /// The policy's ID.
    pub policy_id: String,
    /// The job's namespace.
    pub namespace: String,
    /// The job.
    pub job: String,
    /// The group.
    pub group: String,
    /// The count that Nomad has.
    pub from: u64,
    /// The count that it should have; equal to `from` where nothing is to do. In a dry run, what it would be.
    pub to: u64,
    /// Whether to do something.
    pub action: Action,
    /// Why, in a sentence.
    pub reason: String,
    /// What each check asks for.
    pub votes: Vec<Vote>,
    /// What was changed about that, in order.
    pub clamps: Vec<Clamp>,
    /// Why, for each of the clamps.
    pub words: Vec<String>,
    /// The count that would be right without a queue to get rid of, for [`Memory`](crate::Memory); `None`
    /// where a check could not tell.
    pub stable: Option<u64>,
    /// Whether a queue grows for good.
    pub rush: bool,
    /// Whether a person should look: more instances are needed, and would not help.
    pub alarm: bool,
    /// Whether the deployment under way, which is our own, shall be superseded for this.
    pub supersede: bool,
    /// The allocations that Nomad will stop, where the count falls: drain these before.
    pub victims: Vec<String>,
    /// The index of the job that the decision was made from; a scale is fenced with it.
    pub job_modify_index: u64,
    /// How many instances ran.
    pub running: u64,
    /// The load it was made from.
    pub demand: Demand,
    /// The scale before, which the cooldown counts from.
    pub last_scale: Option<LastScale>,
}

/// Whether to do something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Leave the count.
    Hold,
    /// Ask Nomad for [`Decision::to`].
    Scale,
    /// The same, once the deployment under way is over: Nomad refuses until then.
    Blocked,
}

/// What one check asks for.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Vote {
    /// The check's label.
    pub check: String,
    /// The group of checks that it votes in; empty for the common one.
    pub group: String,
    /// Its strategy.
    pub strategy: &'static str,
    /// The numbers it was made from.
    pub inputs: BTreeMap<&'static str, f64>,
    /// The count it asks for; `None` where it cannot tell.
    pub wants: Option<u64>,
    /// The count it would ask for without a queue to get rid of.
    pub stable: Option<u64>,
    /// Why.
    pub reason: String,
}

/// A rule that changed the count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Clamp {
    /// The rule.
    pub rule: Rule,
    /// The count before it.
    pub from: u64,
    /// The count after it.
    pub to: u64,
}

/// The rules that stand between votes and a decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Rule {
    /// Not within the tolerance of `scale_up` or `scale_down`.
    Hysteresis,
    /// Not back from a decrease that instances are drained for, while they are not needed.
    Draining,
    /// Not beyond the least drastic recommendation of the window.
    Stabilization,
    /// No decrease that another would follow at once.
    Falling,
    /// Not faster than the rates of `scale_up` or `scale_down`.
    Rates,
    /// No decrease within `cooldown` of the last scale.
    Cooldown,
    /// No increase within `cooldown_on_scale_up` of the last increase.
    CooldownOnScaleUp,
    /// No decrease soon after a queue grew for good.
    Panic,
    /// No decrease while requests wait.
    Queue,
    /// No decrease within a window after the leader or the master changed.
    RoleChange,
    /// No decrease while a load balancer does not answer.
    LoadBalancerUnknown,
    /// No decrease while errors increase.
    Errors,
    /// No decrease that would cut sessions of an old HAProxy process.
    OldWorkers,
    /// No increase where the last one brought nothing.
    NoGain,
    /// Not more than what the instances share can bear.
    Budget,
    /// Not more than the cluster has room for.
    Placeable,
    /// Not fewer than `min`.
    Min,
    /// Not more than `max`.
    Max,
    /// Not fewer than an open schedule's `min`.
    ScheduleMin,
    /// Not more than an open schedule's `max`.
    ScheduleMax,
    /// Not to zero, unless `scale_to_zero` says so.
    LastInstance,
}

/// The last time that the count was changed, by whomever.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct LastScale {
    /// When.
    #[serde(serialize_with = "in_iso_8601")]
    pub at: SystemTime,
    /// Which way.
    pub direction: Direction,
}

/// Which way a count went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// More instances.
    Up,
    /// Fewer.
    Down,
}

impl Direction {
    /// From one count to another; `None` where they are equal.
    pub fn between(before: u64, after: u64) -> Option<Self> {
        match after.cmp(&before) {
            std::cmp::Ordering::Greater => Some(Self::Up),
            std::cmp::Ordering::Less => Some(Self::Down),
            std::cmp::Ordering::Equal => None,
        }
    }
}

/// As people and other programs read times; nothing for one beyond the calendar.
fn in_iso_8601<S: Serializer>(time: &SystemTime, serializer: S) -> Result<S::Ok, S::Error> {
    Timestamp::try_from(*time).ok().serialize(serializer)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn times_are_written_in_iso_8601() {
        let at = |millis| SystemTime::UNIX_EPOCH + Duration::from_millis(millis);
        let last = LastScale { at: at(1_770_120_000_250), direction: Direction::Up };
        let expected = serde_json::json!({"at": "2026-02-03T12:00:00.25Z", "direction": "up"});
        assert_eq!(serde_json::to_value(last).unwrap(), expected);
        let beyond = LastScale { at: at(u64::MAX / 2), ..last };
        assert_eq!(serde_json::to_value(beyond).unwrap()["at"], serde_json::Value::Null);
    }
}

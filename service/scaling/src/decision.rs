//! What was decided, why, and from what: the record of one look at one policy.

use std::collections::BTreeMap;
use std::time::SystemTime;

use serde::Serialize;

use crate::history::Demand;

/// A decision, with everything that led to it. Deciding again from the same inputs gives the same.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Decision {
    /// When it was made.
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
}

/// What one check asks for.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Vote {
    /// The check's label.
    pub check: String,
    /// Its strategy.
    pub strategy: &'static str,
    /// The numbers it was made from.
    pub inputs: BTreeMap<&'static str, f64>,
    /// The count it asks for; `None` where it cannot tell.
    pub wants: Option<u64>,
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
    /// No decrease within `cooldown` of the last scale.
    Cooldown,
    /// No increase within `cooldown_on_scale_up` of the last increase.
    CooldownOnScaleUp,
    /// Not fewer than `min`.
    Min,
    /// Not more than `max`.
    Max,
    /// Not to zero, from where nothing would bring the group back yet.
    LastInstance,
}

/// The last time that the count was changed, by whomever.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct LastScale {
    /// When.
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

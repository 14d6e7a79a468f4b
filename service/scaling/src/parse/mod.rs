//! From Nomad's JSON of a `scaling` block to a [`Policy`], or to everything that is wrong with it.
//!
//! The Nomad Autoscaler's keys mean what they mean there; the others are Weir's. A time zone is looked up in
//! what the caller passes; [`parse`] takes the system's tz database, which jiff reads from disk once: the one
//! thing in this crate that is not pure, and only where a schedule names a zone.

mod behavior;
mod checks;
mod hint;
mod reader;
mod schedules;
mod strategies;

use std::fmt;

use jiff::tz::TimeZone;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::blocks::body;
use crate::policy::{Drain, MaxBy, OnCheckError, OnMissing, Panic, Policy};
use crate::raw::RawPolicy;
use reader::Reader;

const POLICY_KEYS: &[&str] = &[
    "check",
    "cooldown",
    "cooldown_on_scale_up",
    "drain",
    "evaluation_interval",
    "floor",
    "max_by",
    "on_check_error",
    "on_missing",
    "panic",
    "scale_down",
    "scale_to_zero",
    "scale_to_zero_after",
    "scale_up",
    "schedule",
    "slots",
    "stabilization",
    "target",
];
const TARGET_KEYS: &[&str] = &["dry-run"];
const PANIC_KEYS: &[&str] = &["queue", "window"];
const DRAIN_KEYS: &[&str] = &["deadline"];
const MAX_BY_KEYS: &[&str] = &["budget", "per_instance"];

/// Finds a time zone by its IANA name.
pub type Zones<'a> = &'a dyn Fn(&str) -> Option<TimeZone>;

/// One thing wrong with a policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// Where, such as `check "load"`; empty for the policy itself.
    pub place: String,
    /// The key or block of that place that it is of, such as `cooldown` or `rate "percent"`; empty for the place itself.
    pub key: String,
    /// Which of several of that name, from 0.
    pub nth: usize,
    /// What, and what to do.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.place.is_empty() {
            write!(f, "{}", self.message)
        } else {
            write!(f, "{}: {}", self.place, self.message)
        }
    }
}

impl std::error::Error for Problem {}

/// Understands a policy, with the system's time zones. A block that is missing altogether is a policy that
/// keeps `min` and `max` only.
pub fn parse(raw: &RawPolicy) -> Result<Policy, Vec<Problem>> {
    parse_in(raw, &|name| TimeZone::get(name).ok())
}

/// Understands a policy, with these time zones.
pub fn parse_in(raw: &RawPolicy, zones: Zones<'_>) -> Result<Policy, Vec<Problem>> {
    let mut problems = Vec::new();
    let empty = Map::new();
    let block = match &raw.policy {
        Value::Null => &empty,
        other => body(other).unwrap_or_else(|| {
            Reader::new(&empty, "", &mut problems)
                .problem("the policy block is no block: write policy { … }");
            &empty
        }),
    };
    let policy = policy(raw, &mut Reader::new(block, "", &mut problems), zones);
    if problems.is_empty() { Ok(policy) } else { Err(problems) }
}

fn policy(raw: &RawPolicy, reader: &mut Reader<'_>, zones: Zones<'_>) -> Policy {
    if raw.min > raw.max {
        reader.problem_of("min", format!("min = {} is more than max = {}", raw.min, raw.max));
    }
    reader.keys(POLICY_KEYS);
    let written = reader.some_duration("cooldown");
    let cooldown = written.unwrap_or(Policy::COOLDOWN);
    let (scale_up, scale_down) = behavior::both(reader, written);
    Policy {
        id: raw.id.clone(),
        namespace: raw.namespace.clone(),
        job: raw.job.clone(),
        group: raw.group.clone(),
        min: raw.min,
        max: raw.max,
        enabled: raw.enabled,
        cooldown,
        cooldown_on_scale_down: written.unwrap_or(Policy::COOLDOWN_ON_SCALE_DOWN),
        cooldown_on_scale_up: reader.duration("cooldown_on_scale_up", Policy::COOLDOWN_ON_SCALE_UP),
        evaluation_interval: reader.duration("evaluation_interval", Policy::EVALUATION_INTERVAL),
        on_check_error: checks::on_error(reader, "on_check_error").unwrap_or(OnCheckError::Ignore),
        on_missing: on_missing(reader),
        slots: reader.whole("slots", 1),
        max_by: max_by(raw, reader),
        scale_up,
        scale_down,
        panic: panic(reader),
        drain: drain(reader),
        schedules: schedules::of_policy(reader, zones),
        scale_to_zero: scale_to_zero(raw, reader),
        dry_run: dry_run(reader),
        checks: checks::checks(reader, zones),
    }
}

fn on_missing(reader: &mut Reader<'_>) -> OnMissing {
    let text = reader.word("on_missing", &[("floor", "floor"), ("hold", "hold"), ("up", "up")]);
    let floor = reader.whole("floor", 0);
    match (text, floor) {
        (Some("floor"), Some(floor)) => return OnMissing::Floor(floor),
        (Some("floor"), None) => {
            reader.problem_of("on_missing", "on_missing = \"floor\" needs floor, such as floor = 6");
        }
        (Some("up"), None) => return OnMissing::Up,
        (_, Some(_)) => reader.problem_of("floor", "floor means something with on_missing = \"floor\" only"),
        _ => {}
    }
    OnMissing::Hold
}

fn max_by(raw: &RawPolicy, reader: &mut Reader<'_>) -> Option<MaxBy> {
    let block = reader.bare_block("max_by")?;
    let mut inner = reader.inner(block, "max_by".to_owned());
    inner.keys(MAX_BY_KEYS);
    let (each, budget) = (inner.whole("per_instance", 1), inner.whole("budget", 1));
    let (Some(per_instance), Some(budget)) = (each, budget) else {
        inner.problem("write both per_instance and budget, such as per_instance = 85 and budget = 500");
        return None;
    };
    let max_by = MaxBy { per_instance, budget };
    if max_by.instances() < raw.min {
        inner.problem(format!("it bears {} instances, fewer than min = {}", max_by.instances(), raw.min));
    }
    Some(max_by)
}

fn panic(reader: &mut Reader<'_>) -> Panic {
    let Some(block) = reader.bare_block("panic") else { return Panic::default() };
    let mut inner = reader.inner(block, "panic".to_owned());
    inner.keys(PANIC_KEYS);
    Panic { window: inner.duration("window", Panic::WINDOW), queue: inner.duration("queue", Panic::QUEUE) }
}

/// `drain = "20s"`, or a block with the deadline.
fn drain(reader: &mut Reader<'_>) -> Drain {
    let written = reader.block.get("drain").filter(|value| !value.is_null());
    if written.is_some_and(|value| value.is_object() || value.is_array()) {
        let Some(block) = reader.bare_block("drain") else { return Drain::default() };
        let mut inner = reader.inner(block, "drain".to_owned());
        inner.keys(DRAIN_KEYS);
        return Drain { deadline: inner.duration("deadline", Drain::DEADLINE) };
    }
    Drain { deadline: reader.duration("drain", Drain::DEADLINE) }
}

fn scale_to_zero(raw: &RawPolicy, reader: &mut Reader<'_>) -> Option<std::time::Duration> {
    let wanted = reader.truth("scale_to_zero");
    let after = reader.some_duration("scale_to_zero_after");
    if wanted && raw.min > 0 {
        reader.problem_of("scale_to_zero", format!("scale_to_zero needs min = 0, and min is {}", raw.min));
    }
    if !wanted && after.is_some() {
        reader.problem_of(
            "scale_to_zero_after",
            "scale_to_zero_after means something with scale_to_zero = true only",
        );
    }
    wanted.then(|| after.unwrap_or(Policy::IDLE))
}

fn dry_run(reader: &mut Reader<'_>) -> bool {
    let mut dry = false;
    for (label, target) in reader.blocks("target") {
        if label != "nomad-target" {
            let key = format!("target {label:?}");
            reader.problem_of(
                &key,
                format!(
                    "target {label:?} is not supported: Weir scales groups of Nomad jobs, \"nomad-target\""
                ),
            );
            continue;
        }
        let place = format!("target {label:?}");
        let mut inner = reader.inner(target, place);
        inner.keys(TARGET_KEYS);
        dry |= inner.truth("dry-run");
    }
    dry
}

#[cfg(test)]
mod tests;

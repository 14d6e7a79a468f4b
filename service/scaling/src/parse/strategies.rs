//! Reads `strategy` blocks. Numbers may be texts, as the Nomad Autoscaler takes them.

use serde_json::{Map, Value};

use super::hint::hint;
use super::reader::Reader;
use crate::policy::{Change, Concurrency, PassThrough, Steps, Strategy, TargetValue, Threshold};

const CONCURRENCY_KEYS: &[&str] = &["queue_drain", "slots", "target", "wait"];
const TARGET_VALUE_KEYS: &[&str] = &["max_scale_down", "max_scale_up", "target", "threshold"];
const THRESHOLD_KEYS: &[&str] =
    &["delta", "lower_bound", "percentage", "upper_bound", "value", "within_bounds_trigger"];
const FIXED_VALUE_KEYS: &[&str] = &["value"];
const PASS_THROUGH_KEYS: &[&str] = &["max_scale_down", "max_scale_up"];

/// The strategy of this name with its options.
pub(super) fn strategy(
    name: &str,
    reader: &mut Reader<'_>,
    options: &Map<String, Value>,
) -> Option<Strategy> {
    let place = format!("{}, strategy {name:?}", reader.place);
    let mut inner = reader.inner(options, place);
    match name {
        "concurrency" => Some(concurrency(&mut inner)),
        "target-value" => target_value(&mut inner),
        "threshold" => threshold(&mut inner),
        "fixed-value" => fixed_value(&mut inner),
        "pass-through" => Some(pass_through(&mut inner)),
        _ => {
            let key = format!("strategy {name:?}");
            reader.problem_of(&key, format!("unknown strategy {name:?}{}", hint(name, &Strategy::NAMES)));
            None
        }
    }
}

fn concurrency(reader: &mut Reader<'_>) -> Strategy {
    reader.keys(CONCURRENCY_KEYS);
    let target = reader.number("target");
    if let Some(target) = target.filter(|target| !(*target > 0.0 && *target <= 1.0)) {
        reader.problem_of(
            "target",
            format!("target = {target} is no busy share: write more than 0 and at most 1, such as 0.8"),
        );
    }
    let wait = reader.number("wait").unwrap_or(Concurrency::WAIT);
    if !(wait > 0.0 && wait < 1.0) {
        reader.problem_of(
            "wait",
            format!("wait = {wait} is no share: write more than 0 and less than 1, such as 0.1"),
        );
    }
    let queue_drain = reader.duration("queue_drain", Concurrency::QUEUE_DRAIN);
    if queue_drain.is_zero() {
        reader.problem_of("queue_drain", "queue_drain: write more than 0s, such as \"5s\"");
    }
    Strategy::Concurrency(Concurrency { target, slots: reader.whole("slots", 1), wait, queue_drain })
}

fn steps(reader: &mut Reader<'_>) -> Steps {
    Steps { max_scale_up: reader.whole("max_scale_up", 1), max_scale_down: reader.whole("max_scale_down", 1) }
}

fn target_value(reader: &mut Reader<'_>) -> Option<Strategy> {
    reader.keys(TARGET_VALUE_KEYS);
    let threshold = reader.number("threshold").unwrap_or(TargetValue::THRESHOLD);
    if threshold < 0.0 {
        reader.problem_of("threshold", format!("threshold = {threshold} is negative"));
    }
    let steps = steps(reader);
    if !reader.block.contains_key("target") {
        reader.problem("target is missing: the work that one instance should have, such as target = 10");
    }
    let target = reader.number("target")?;
    if target < 0.0 {
        reader.problem_of(
            "target",
            format!("target = {target}: what one instance should have is not negative"),
        );
    }
    Some(Strategy::TargetValue(TargetValue { target, threshold, steps }))
}

fn threshold(reader: &mut Reader<'_>) -> Option<Strategy> {
    reader.keys(THRESHOLD_KEYS);
    let (lower, upper) = (reader.number("lower_bound"), reader.number("upper_bound"));
    match (lower, upper) {
        (None, None) => reader.problem("write lower_bound, upper_bound or both"),
        (Some(lower), Some(upper)) if lower >= upper => {
            reader.problem_of(
                "lower_bound",
                format!("lower_bound = {lower} is not below upper_bound = {upper}: nothing lies between"),
            );
        }
        _ => {}
    }
    let trigger = reader.whole("within_bounds_trigger", 1).unwrap_or(Threshold::TRIGGER);
    Some(Strategy::Threshold(Threshold { lower, upper, trigger, change: change(reader)? }))
}

fn change(reader: &mut Reader<'_>) -> Option<Change> {
    let written: Vec<&str> =
        ["delta", "percentage", "value"].into_iter().filter(|key| reader.block.contains_key(*key)).collect();
    match written[..] {
        ["delta"] => reader.signed("delta").map(Change::Delta),
        ["percentage"] => reader.number("percentage").map(Change::Percentage),
        ["value"] => reader.whole("value", 0).map(Change::Value),
        _ => {
            // With several, the second is one too many.
            reader.problem_of(
                written.get(1).unwrap_or(&""),
                "write exactly one of delta, percentage and value",
            );
            None
        }
    }
}

fn fixed_value(reader: &mut Reader<'_>) -> Option<Strategy> {
    reader.keys(FIXED_VALUE_KEYS);
    if !reader.block.contains_key("value") {
        reader.problem("value is missing: the count, such as value = 3");
    }
    reader.whole("value", 0).map(Strategy::FixedValue)
}

fn pass_through(reader: &mut Reader<'_>) -> Strategy {
    reader.keys(PASS_THROUGH_KEYS);
    Strategy::PassThrough(PassThrough { steps: steps(reader) })
}

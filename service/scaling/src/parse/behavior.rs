//! Reads `scale_up`, `scale_down` and `stabilization`: how fast a count may change.
//!
//! ```hcl
//! stabilization = "1m"                  # short for scale_down { stabilization = "1m" }
//! scale_up {
//!   select = "max"                      # or "min", "disabled"
//!   rate "percent" {
//!     value  = 100
//!     period = "15s"
//!   }
//! }
//! ```

use std::time::Duration;

use super::hint::hint;
use super::reader::Reader;
use crate::blocks::labelled;
use crate::policy::{Behavior, Policy, Rate, RateUnit, Select};

const BEHAVIOR_KEYS: &[&str] = &["rate", "select", "stabilization", "tolerance"];
const STABILIZATION_KEYS: &[&str] = &["down", "up"];
const RATE_KEYS: &[&str] = &["period", "value"];
/// As in Kubernetes: a longer period would need more scaling events than Nomad keeps.
const LONGEST_PERIOD: Duration = Duration::from_mins(30);
const UNITS: &[(&str, RateUnit)] =
    &[("instances", RateUnit::Instances), ("percent", RateUnit::Percent), ("pods", RateUnit::Instances)];

/// What holds for increases and for decreases. A decrease waits as long as the cooldown, where nothing else is said:
/// what was needed within it is needed again.
pub(super) fn both(reader: &mut Reader<'_>, cooldown: Option<Duration>) -> (Behavior, Behavior) {
    let (up, down) = stabilization(reader);
    let plain = Behavior::within(up.unwrap_or_default());
    let up = behavior(reader, "scale_up", up, plain);
    let written = down.or(cooldown);
    let own = is_own(reader);
    let plain = Behavior {
        tolerance: if own { Behavior::TOLERANCE } else { 0.0 },
        adapts: own && written.is_none(),
        ..Behavior::within(written.unwrap_or(Policy::COOLDOWN))
    };
    (up, behavior(reader, "scale_down", down, plain))
}

/// The strategies of the Nomad Autoscaler have a threshold of their own, and shall do what they do there.
fn is_own(reader: &Reader<'_>) -> bool {
    let checks = reader.block.get("check").map(labelled).unwrap_or_default();
    let strategies =
        checks.into_iter().flatten().filter_map(|(_, check)| check.get("strategy")).map(labelled);
    strategies.flatten().flatten().all(|(name, _)| name == "concurrency")
}

/// A duration for decreases, or a block for both directions.
fn stabilization(reader: &mut Reader<'_>) -> (Option<Duration>, Option<Duration>) {
    let written = reader.block.get("stabilization");
    if !written.is_some_and(|value| value.is_object() || value.is_array()) {
        return (None, reader.some_duration("stabilization"));
    }
    let Some(block) = reader.bare_block("stabilization") else { return (None, None) };
    let mut inner = reader.inner(block, "stabilization".to_owned());
    inner.keys(STABILIZATION_KEYS);
    (inner.some_duration("up"), inner.some_duration("down"))
}

fn behavior(reader: &mut Reader<'_>, key: &str, outer: Option<Duration>, plain: Behavior) -> Behavior {
    let Some(block) = reader.bare_block(key) else { return plain };
    let mut inner = reader.inner(block, key.to_owned());
    inner.keys(BEHAVIOR_KEYS);
    let own = inner.some_duration("stabilization");
    if own.is_some() && outer.is_some() {
        inner.problem_of("stabilization", "stabilization stands here and in the policy: write it once");
    }
    let words = [("disabled", Select::Disabled), ("max", Select::Max), ("min", Select::Min)];
    let tolerance = inner.number("tolerance").unwrap_or(plain.tolerance);
    if !(0.0..1.0).contains(&tolerance) {
        inner.problem_of(
            "tolerance",
            format!("tolerance = {tolerance}: write a share, at least 0 and less than 1, such as 0.1"),
        );
    }
    Behavior {
        stabilization: own.unwrap_or(plain.stabilization),
        adapts: plain.adapts && own.is_none(),
        tolerance,
        select: inner.word("select", &words).unwrap_or_default(),
        rates: rates(&mut inner),
    }
}

fn rates(reader: &mut Reader<'_>) -> Vec<Rate> {
    let mut rates = Vec::new();
    for (label, block) in reader.blocks("rate") {
        let unit = UNITS.iter().find(|(name, _)| *name == label).map(|(_, unit)| *unit);
        let Some(unit) = unit else {
            let known: Vec<&str> = UNITS.iter().map(|(name, _)| *name).collect();
            let key = format!("rate {label:?}");
            reader.problem_of(&key, format!("unknown rate {label:?}{}", hint(label, &known)));
            continue;
        };
        let place = format!("{}, rate {label:?}", reader.place);
        rates.extend(rate(unit, &mut reader.inner(block, place)));
    }
    rates
}

fn rate(unit: RateUnit, reader: &mut Reader<'_>) -> Option<Rate> {
    reader.keys(RATE_KEYS);
    let (value, period) = (reader.number("value"), reader.some_duration("period"));
    let (Some(value), Some(period)) = (value, period) else {
        reader.problem("write both value and period, such as value = 4 and period = \"15s\"");
        return None;
    };
    if value <= 0.0 {
        reader.problem_of("value", format!("value = {value}: write more than 0, or select = \"disabled\""));
    }
    if period.is_zero() || period > LONGEST_PERIOD {
        reader.problem_of("period", "period: write more than 0s and at most \"30m\"");
    }
    Some(Rate { unit, value, period })
}

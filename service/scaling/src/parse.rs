//! From Nomad's JSON of a `scaling` block to a [`Policy`], or to everything that is wrong with it.

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use serde::Serialize;
use serde_json::{Map, Value};

use crate::blocks::{body, labelled};
use crate::duration::parse_duration;
use crate::policy::{Check, Concurrency, OnCheckError, Policy, Strategy, TargetValue};
use crate::raw::RawPolicy;

const POLICY_KEYS: &[&str] = &[
    "check",
    "cooldown",
    "cooldown_on_scale_up",
    "evaluation_interval",
    "on_check_error",
    "slots",
    "target",
];
const CHECK_KEYS: &[&str] = &["query", "source", "strategy"];
const CONCURRENCY_KEYS: &[&str] = &["slots", "target"];
const TARGET_VALUE_KEYS: &[&str] = &["max_scale_down", "max_scale_up", "target", "threshold"];
const TARGET_KEYS: &[&str] = &["dry-run"];

/// Keys of the Nomad Autoscaler that are right and mean nothing here yet.
const LATER_KEYS: &[&str] = &["group", "on_error", "query_window", "query_window_offset", "schedule"];
/// Its sources and strategies, likewise.
const LATER_SOURCES: &[&str] = &["datadog", "influxdb", "instana", "nomad-apm", "prometheus"];
const LATER_STRATEGIES: &[&str] = &["fixed-value", "pass-through", "threshold"];

/// One thing wrong with a policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// Where, such as `check "load"`; empty for the policy itself.
    pub place: String,
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

/// Understands a policy. A block that is missing altogether is a policy that keeps `min` and `max` only.
pub fn parse(raw: &RawPolicy) -> Result<Policy, Vec<Problem>> {
    let mut problems = Vec::new();
    let empty = Map::new();
    let block = match &raw.policy {
        Value::Null => &empty,
        other => body(other).unwrap_or_else(|| {
            problems.push(problem("", "the policy block is no block: write policy { … }"));
            &empty
        }),
    };
    let policy = policy(raw, &mut Reader::new(block, "", &mut problems));
    if problems.is_empty() { Ok(policy) } else { Err(problems) }
}

fn policy(raw: &RawPolicy, reader: &mut Reader<'_>) -> Policy {
    if raw.min > raw.max {
        reader.problem(format!("min = {} is more than max = {}", raw.min, raw.max));
    }
    reader.keys(POLICY_KEYS);
    Policy {
        id: raw.id.clone(),
        namespace: raw.namespace.clone(),
        job: raw.job.clone(),
        group: raw.group.clone(),
        min: raw.min,
        max: raw.max,
        enabled: raw.enabled,
        cooldown: reader.duration("cooldown", Policy::COOLDOWN),
        cooldown_on_scale_up: reader.duration("cooldown_on_scale_up", Policy::COOLDOWN_ON_SCALE_UP),
        evaluation_interval: reader.duration("evaluation_interval", Policy::EVALUATION_INTERVAL),
        on_check_error: on_check_error(reader),
        slots: reader.whole("slots", 1),
        dry_run: dry_run(reader),
        checks: checks(reader),
    }
}

fn on_check_error(reader: &mut Reader<'_>) -> OnCheckError {
    match reader.text("on_check_error").as_deref() {
        None | Some("" | "ignore") => OnCheckError::Ignore,
        Some("fail") => OnCheckError::Fail,
        Some(other) => {
            reader.problem(format!("on_check_error = {other:?}: write \"ignore\" or \"fail\""));
            OnCheckError::Ignore
        }
    }
}

fn dry_run(reader: &mut Reader<'_>) -> bool {
    let mut dry = false;
    for (label, target) in reader.blocks("target") {
        if label != "nomad-target" {
            reader.problem(format!(
                "target {label:?} is not supported: Weir scales groups of Nomad jobs, \"nomad-target\""
            ));
            continue;
        }
        let place = format!("target {label:?}");
        let mut inner = reader.inner(target, place);
        inner.keys(TARGET_KEYS);
        dry |= inner.truth("dry-run");
    }
    dry
}

fn checks(reader: &mut Reader<'_>) -> Vec<Check> {
    let mut labels = BTreeSet::new();
    let mut checks = Vec::new();
    for (label, block) in reader.blocks("check") {
        if !labels.insert(label) {
            reader.problem(format!(
                "two checks are labelled {label:?}: give each its own label (the Nomad Autoscaler silently drops one)"
            ));
        }
        checks.extend(check(label, &mut reader.inner(block, format!("check {label:?}"))));
    }
    checks
}

fn check(label: &str, reader: &mut Reader<'_>) -> Option<Check> {
    reader.keys(CHECK_KEYS);
    let source = reader.text("source");
    source_problem(source.as_deref().unwrap_or("haproxy"), reader);
    let strategies = reader.blocks("strategy");
    let [(name, options)] = strategies[..] else {
        reader.problem(format!(
            "it has {} strategies and needs exactly one, such as strategy \"concurrency\" {{}}",
            strategies.len()
        ));
        return None;
    };
    let strategy = strategy(name, reader, options)?;
    Some(Check { label: label.to_owned(), strategy })
}

/// A source other than HAProxy is one problem; what its query and options say is then not judged.
fn source_problem(source: &str, reader: &mut Reader<'_>) {
    if source == "haproxy" {
        if let Some(query) = reader.text("query").filter(|query| query != "concurrency") {
            reader.problem(format!(
                "query = {query:?}: of the source \"haproxy\" there is \"concurrency\", the work in the system, which is the default"
            ));
        }
    } else if LATER_SOURCES.contains(&source) {
        reader.problem(format!(
            "source {source:?} is not supported by this version, so the policy is not acted on; use source = \"haproxy\""
        ));
    } else {
        reader.problem(format!("unknown source {source:?}; use source = \"haproxy\", which is the default"));
    }
}

fn strategy(name: &str, reader: &mut Reader<'_>, options: &Map<String, Value>) -> Option<Strategy> {
    let place = format!("{}, strategy {name:?}", reader.place);
    match name {
        "concurrency" => Some(concurrency(&mut reader.inner(options, place))),
        "target-value" => target_value(&mut reader.inner(options, place)),
        _ if LATER_STRATEGIES.contains(&name) => {
            reader.problem(format!(
                "strategy {name:?} is not supported by this version; use \"concurrency\" or \"target-value\""
            ));
            None
        }
        _ => {
            let known = ["concurrency", "target-value"];
            reader.problem(format!("unknown strategy {name:?}{}", hint(name, &known)));
            None
        }
    }
}

fn concurrency(reader: &mut Reader<'_>) -> Strategy {
    reader.keys(CONCURRENCY_KEYS);
    let target = reader.number("target").unwrap_or(Concurrency::TARGET);
    if !(target > 0.0 && target <= 1.0) {
        reader.problem(format!(
            "target = {target} is no busy share: write more than 0 and at most 1, such as 0.8"
        ));
    }
    Strategy::Concurrency(Concurrency { target, slots: reader.whole("slots", 1) })
}

fn target_value(reader: &mut Reader<'_>) -> Option<Strategy> {
    reader.keys(TARGET_VALUE_KEYS);
    let threshold = reader.number("threshold").unwrap_or(TargetValue::THRESHOLD);
    if threshold < 0.0 {
        reader.problem(format!("threshold = {threshold} is negative"));
    }
    let (up, down) = (reader.whole("max_scale_up", 1), reader.whole("max_scale_down", 1));
    if !reader.block.contains_key("target") {
        reader.problem("target is missing: the work that one instance should have, such as target = 10");
    }
    let target = reader.number("target")?;
    if target <= 0.0 {
        reader.problem(format!("target = {target}: the work that one instance should have is more than 0"));
    }
    Some(Strategy::TargetValue(TargetValue { target, threshold, max_scale_up: up, max_scale_down: down }))
}

/// Reads one block; what is wrong goes to the common list, and a stand-in is read.
struct Reader<'a> {
    block: &'a Map<String, Value>,
    place: String,
    problems: &'a mut Vec<Problem>,
}

impl<'a> Reader<'a> {
    fn new(block: &'a Map<String, Value>, place: &str, problems: &'a mut Vec<Problem>) -> Self {
        Self { block, place: place.to_owned(), problems }
    }

    fn inner<'b>(&'b mut self, block: &'b Map<String, Value>, place: String) -> Reader<'b> {
        Reader { block, place, problems: self.problems }
    }

    fn problem(&mut self, message: impl Into<String>) {
        self.problems.push(problem(&self.place, message));
    }

    /// Reports every key that is not known.
    fn keys(&mut self, known: &[&str]) {
        let block = self.block;
        for key in block.keys().filter(|key| !known.contains(&key.as_str())) {
            let later = LATER_KEYS.contains(&key.as_str()) && known != TARGET_KEYS;
            self.problem(if later {
                format!("{key} is not supported by this version; take it out")
            } else {
                format!("unknown key {key:?}{}", hint(key, known))
            });
        }
    }

    /// Labelled blocks; what is none is reported.
    fn blocks(&mut self, key: &str) -> Vec<(&'a str, &'a Map<String, Value>)> {
        let block = self.block;
        let mut found = Vec::new();
        for entry in block.get(key).map(labelled).unwrap_or_default() {
            match entry {
                Ok(entry) => found.push(entry),
                Err(what) => self.problem(format!("{key} {what} is no block: write {key} \"name\" {{ … }}")),
            }
        }
        found
    }

    fn text(&mut self, key: &str) -> Option<String> {
        match self.block.get(key)? {
            Value::Null => None,
            Value::String(text) => Some(text.clone()),
            other => {
                let message = format!("{key} = {other} is no text: put it in quotes");
                self.problem(message);
                None
            }
        }
    }

    fn duration(&mut self, key: &str, default: Duration) -> Duration {
        let parsed = match self.block.get(key) {
            None | Some(Value::Null) => return default,
            Some(Value::String(text)) => parse_duration(text),
            Some(_) => None,
        };
        parsed.unwrap_or_else(|| {
            let message = format!(
                "{key} = {} is no duration: write it with a unit, such as \"30s\" or \"5m\"",
                self.block[key]
            );
            self.problem(message);
            default
        })
    }

    /// A finite number, or a text that is one.
    fn number(&mut self, key: &str) -> Option<f64> {
        let value = self.block.get(key)?;
        let number = match value {
            Value::Null => return None,
            Value::Number(number) => number.as_f64(),
            Value::String(text) => text.trim().parse().ok(),
            _ => None,
        };
        let number = number.filter(|number: &f64| number.is_finite());
        if number.is_none() {
            let message = format!("{key} = {value} is no number");
            self.problem(message);
        }
        number
    }

    /// A whole number of at least `least`; `2.0` is one.
    fn whole(&mut self, key: &str, least: u64) -> Option<u64> {
        const MOST: f64 = 4_294_967_295.0;
        let number = self.number(key)?;
        if number.fract() == 0.0 && number >= least as f64 && number <= MOST {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "checked just above"
            )]
            return Some(number as u64);
        }
        self.problem(format!("{key} = {number}: write a whole number, at least {least}"));
        None
    }

    fn truth(&mut self, key: &str) -> bool {
        match self.block.get(key) {
            None | Some(Value::Null | Value::Bool(false)) => false,
            Some(Value::Bool(true)) => true,
            Some(Value::String(text)) if text == "true" => true,
            Some(Value::String(text)) if text == "false" => false,
            Some(other) => {
                let message = format!("{key} = {other}: write true or false");
                self.problem(message);
                false
            }
        }
    }
}

fn problem(place: &str, message: impl Into<String>) -> Problem {
    Problem { place: place.to_owned(), message: message.into() }
}

/// The known name nearest to a misspelt one, where one is near; otherwise all that are known.
fn hint(name: &str, known: &[&str]) -> String {
    let nearest = known.iter().map(|k| (strsim::damerau_levenshtein(name, k), k)).min();
    match nearest {
        Some((distance, key)) if distance <= 1 + name.len() / 4 => format!("; did you mean {key:?}?"),
        _ => format!("; known are {}", known.join(", ")),
    }
}

#[cfg(test)]
mod tests;

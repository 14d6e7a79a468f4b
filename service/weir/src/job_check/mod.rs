//! Whether the scaling blocks of a Nomad job file are right.
//!
//! In: the file, and a Nomad that can parse it where one is given: it knows what variables and functions come
//! to. Without one, blocks that hold such things are passed over. Out: mistakes, warnings of what works and
//! will hurt, and what was not checked, with file and line.

mod hcl;
mod keys;
mod place;

use std::path::{Path, PathBuf};
use std::time::Duration;

use hcl_edit::Span as _;
use hcl_edit::structure::{Attribute, Block, Body};
use serde_json::{Map, Value};
use weir_nomad::Client;
use weir_scaling::{Policy, RawPolicy, format_duration, parse, parse_duration};

use crate::chain::chain;
use crate::check::Found;
use crate::config::{Problem, not_hcl};
pub(crate) use hcl::blocks;
use hcl::literal;
pub(crate) use place::line_of;
use place::{Span, key_of, line};

/// Checks all files, in their order.
pub(crate) async fn check_all(paths: &[PathBuf], nomad: Option<&Client>) -> Found {
    let mut all = Found::default();
    for path in paths {
        let found = check(path, nomad).await;
        all.mistakes.extend(found.mistakes);
        all.warnings.extend(found.warnings);
        all.unchecked.extend(found.unchecked);
    }
    all
}

/// Checks one file.
async fn check(path: &Path, nomad: Option<&Client>) -> Found {
    let unread = |mistake| Found { mistakes: vec![mistake], ..Found::default() };
    read(path, nomad).await.unwrap_or_else(unread)
}

/// What was found in a file; the mistake that keeps it from being read.
async fn read(path: &Path, nomad: Option<&Client>) -> Result<Found, Problem> {
    let mistake = |line, message: String| Problem::new(path, line, message);
    let text =
        std::fs::read_to_string(path).map_err(|error| mistake(0, format!("cannot be read: {error}")))?;
    let body = hcl_edit::parser::parse_body(&text).map_err(|error| not_hcl(path, &text, &error))?;
    if body.get_blocks("job").next().is_none() {
        let message = "there is no block `job`, so nothing was checked: name a Nomad job file";
        return Err(mistake(0, message.to_owned()));
    }
    let parsed = match nomad {
        None => None,
        Some(client) => Some(client.parse(&text).await.map_err(|error| mistake(0, chain(&error)))?),
    };
    let mut file = JobFile { path, text: &text, parsed, found: Found::default() };
    file.scalings(&body);
    Ok(file.found)
}

/// A job file, as far as its scaling blocks go.
struct JobFile<'a> {
    path: &'a Path,
    text: &'a str,
    /// The job as Nomad understands it.
    parsed: Option<Map<String, Value>>,
    found: Found,
}

impl JobFile<'_> {
    fn scalings(&mut self, body: &Body) {
        let mut any = false;
        for job in body.get_blocks("job") {
            for group in job.body.get_blocks("group") {
                self.mistakes(keys::of_group(group));
                for scaling in group.body.get_blocks("scaling") {
                    any = true;
                    self.scaling(job, group, scaling);
                }
            }
        }
        if !any {
            self.unchecked(0, "no block `scaling` in a group of this job: there was nothing to check");
        }
    }

    fn scaling(&mut self, job: &Block, group: &Block, scaling: &Block) {
        let whole = scaling.ident.span().unwrap_or_default();
        if scaling.body.get_attribute("max").is_none() {
            self.mistake(&whole, "block `scaling` needs `max`; Nomad refuses the job without");
        }
        self.mistakes(keys::of_scaling(scaling));
        let block = scaling.body.get_blocks("policy").next();
        let Some(raw) = self.raw(job, group, scaling, block) else {
            return self.computed(scaling, block);
        };
        self.computed_bounds(group, scaling);
        match parse(&raw) {
            Ok(policy) => {
                self.drains(&policy, group, scaling);
                self.begins_at_zero(&policy, group, scaling);
            }
            Err(problems) => {
                for problem in problems {
                    let line = line_of(self.text, scaling, &problem);
                    self.found.mistakes.push(Problem::new(self.path, line, problem.to_string()));
                }
            }
        }
    }

    /// The policy as Nomad will hand it out; nothing where only Nomad could tell.
    fn raw(&self, job: &Block, group: &Block, scaling: &Block, policy: Option<&Block>) -> Option<RawPolicy> {
        let known = self.group(&label(group)).map(|group| &group["Scaling"]);
        let policy = match (known, policy) {
            (Some(scaling), _) => scaling["Policy"].clone(),
            (None, Some(policy)) => blocks(&policy.body)?,
            (None, None) if scaling.body.get_blocks("dynamic").next().is_some() => return None,
            (None, None) => Value::Null,
        };
        let bound = |name: &str, written: Option<&Attribute>, missing: u64, unknown: u64| {
            let known = known.and_then(|scaling| scaling[name].as_u64());
            known.unwrap_or_else(|| written.map_or(missing, |written| whole(written).unwrap_or(unknown)))
        };
        Some(RawPolicy {
            id: String::new(),
            namespace: String::new(),
            job: label(job),
            group: label(group),
            // What is put for a bound that only Nomad could tell breaks no rule.
            min: bound("Min", least(group, scaling), 1, 0),
            max: bound("Max", scaling.body.get_attribute("max"), u64::MAX, u64::MAX),
            enabled: true,
            modify_index: 0,
            policy,
        })
    }

    /// Bounds of which only Nomad can tell what they come to.
    fn computed_bounds(&mut self, group: &Block, scaling: &Block) {
        if self.parsed.is_some() {
            return;
        }
        let bounds = [least(group, scaling), scaling.body.get_attribute("max")];
        for bound in bounds.into_iter().flatten().filter(|bound| literal(&bound.value).is_none()) {
            let message = format!(
                "`{}` holds a variable or a function, so what depends on it was not checked; {ASKING}",
                bound.key.as_str()
            );
            self.unchecked(line(self.text, &bound.key.span().unwrap_or_default()), &message);
        }
    }

    /// A group as Nomad understands it.
    fn group(&self, name: &str) -> Option<&Value> {
        self.parsed.as_ref()?.get("TaskGroups")?.as_array()?.iter().find(|group| group["Name"] == name)
    }

    /// A decrease waits for sessions as long as `drain` says, a deploy as long as `shutdown_delay` does.
    fn drains(&mut self, policy: &Policy, group: &Block, scaling: &Block) {
        let Some(delay) = self.shutdown_delay(group) else { return };
        let drain = policy.drain.deadline;
        if policy.checks.is_empty() || drain <= delay {
            return;
        }
        let (drain, delay) = (format_duration(drain), format_duration(delay));
        let message = format!(
            "scaling waits {drain} for sessions (`drain`) and a deploy only {delay} (`shutdown_delay` of the \
             group), so a deploy cuts what scaling would not: make `shutdown_delay` as long"
        );
        let at = key_of(self.text, scaling, "drain");
        self.found.warnings.push(Problem::new(self.path, line(self.text, &at), message));
    }

    /// A group that weir did not take to zero stays there.
    fn begins_at_zero(&mut self, policy: &Policy, group: &Block, scaling: &Block) {
        let count = match self.group(&label(group)) {
            Some(known) => known["Count"].as_u64(),
            // Nomad takes `min`.
            None if group.body.get_attribute("count").is_none() => Some(0),
            None => number(group, "count"),
        };
        if policy.scale_to_zero.is_none() || count != Some(0) {
            return;
        }
        let message = "a deploy sets the count to 0, where weir leaves what it did not take there itself: give \
                       the group `count = 1`, or more";
        let at = key_of(self.text, scaling, "scale_to_zero");
        self.found.warnings.push(Problem::new(self.path, line(self.text, &at), message.to_owned()));
    }

    /// The longest of the group and its tasks; nothing where only Nomad could tell.
    fn shutdown_delay(&self, group: &Block) -> Option<Duration> {
        if let Some(known) = self.group(&label(group)) {
            let tasks = known["Tasks"].as_array().into_iter().flatten();
            let delays = tasks.map(|task| &task["ShutdownDelay"]).chain([&known["ShutdownDelay"]]);
            return Some(Duration::from_nanos(delays.filter_map(Value::as_u64).max().unwrap_or(0)));
        }
        let tasks = group.body.get_blocks("task");
        let written = tasks.chain([group]).filter_map(|block| block.body.get_attribute("shutdown_delay"));
        let delays: Option<Vec<Duration>> =
            written.map(|attribute| parse_duration(attribute.value.as_str()?)).collect();
        Some(delays?.into_iter().max().unwrap_or_default())
    }

    /// Only Nomad can tell what this policy comes to.
    fn computed(&mut self, scaling: &Block, policy: Option<&Block>) {
        let at = policy.unwrap_or(scaling).ident.span().unwrap_or_default();
        let message = format!("this policy was not checked: it holds variables or functions; {ASKING}");
        self.unchecked(line(self.text, &at), &message);
    }

    fn unchecked(&mut self, line: usize, message: &str) {
        self.found.unchecked.push(Problem::new(self.path, line, message));
    }

    fn mistakes(&mut self, found: Vec<(Span, String)>) {
        for (at, message) in found {
            self.mistake(&at, &message);
        }
    }

    fn mistake(&mut self, at: &Span, message: &str) {
        self.found.mistakes.push(Problem::new(self.path, line(self.text, at), message));
    }
}

const ASKING: &str = "`weir policy check --nomad ADDRESS` asks Nomad what it comes to";

/// Where `min` is written: Nomad takes `count` where there is none.
fn least<'a>(group: &'a Block, scaling: &'a Block) -> Option<&'a Attribute> {
    scaling.body.get_attribute("min").or_else(|| group.body.get_attribute("count"))
}

/// A whole number that is written as one.
fn number(block: &Block, name: &str) -> Option<u64> {
    whole(block.body.get_attribute(name)?)
}

fn whole(attribute: &Attribute) -> Option<u64> {
    attribute.value.as_number()?.as_u64()
}

fn label(block: &Block) -> String {
    block.labels.first().map_or(String::new(), |label| label.as_str().to_owned())
}

#[cfg(test)]
mod tests;

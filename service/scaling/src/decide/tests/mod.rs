//! What the tests of decisions share: policies as they are written, loads, and a way to ask.

mod properties;
mod rise;
mod rules;
mod scenarios;
mod step;
mod votes;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::decision::{Action, Decision, Direction, LastScale, Rule};
use crate::history::{Demand, Load, Metric};
use crate::memory::Memory;
use crate::policy::Policy;
use crate::raw::RawPolicy;
use crate::seen::{Seen, Timing};
use crate::{decide, parse};

fn now() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_000_000)
}

fn ago(seconds: u64) -> SystemTime {
    now() - Duration::from_secs(seconds)
}

fn policy(min: u64, max: u64, block: Value) -> Policy {
    let raw = RawPolicy {
        id: "p".to_owned(),
        namespace: "default".to_owned(),
        job: "web".to_owned(),
        group: "app".to_owned(),
        min,
        max,
        enabled: true,
        modify_index: 7,
        policy: block,
    };
    parse(&raw).unwrap()
}

/// The block with a check of the strategy `concurrency` added.
fn with_load(mut block: Value) -> Value {
    block["check"] = json!([{"load": [{"strategy": [{"concurrency": [{}]}]}]}]);
    block
}

/// The smallest policy there is.
fn plain(min: u64, max: u64) -> Policy {
    policy(min, max, with_load(json!({})))
}

/// Work without a queue, on instances of 10 slots.
fn calm(work: f64, serving: u64) -> Demand {
    Demand::Known(Load { work, steady: work, serving, slots: Some(10.0), ..Load::default() })
}

fn unknown() -> Demand {
    Demand::Unknown { reason: "gone".to_owned() }
}

/// A sight in which nothing keeps the count, with recommendations of 0 for as long as policies look back.
fn seen(count: u64, demand: Demand) -> Seen {
    let timing = Timing { start: Duration::from_secs(4), block: Duration::from_secs(5) };
    Seen {
        count,
        job_modify_index: 54,
        running: count,
        demand,
        memory: remembers(0),
        timing,
        ..Seen::default()
    }
}

/// A memory of the same recommendation every second of ten minutes.
fn remembers(count: u64) -> Memory {
    let keep = policy(0, 9, json!({"stabilization": "10m"}));
    let mut memory = Memory::default();
    for second in (1..=600).rev() {
        let sight = Seen { count: 1, ..Seen::default() };
        let decision = Decision { stable: Some(count), ..decide(&keep, &sight, ago(second)) };
        memory.note(&decision, &keep);
    }
    memory
}

fn value(values: &[f64]) -> Metric {
    Metric::Known { at: now(), values: values.to_vec() }
}

#[track_caller]
fn goes(policy: &Policy, seen: &Seen, to: u64) -> Decision {
    let decision = decide(policy, seen, now());
    assert_eq!(decision.to, to, "{}", decision.reason);
    assert_eq!(decision.action == Action::Hold, to == seen.count, "{}", decision.reason);
    decision
}

/// It goes there, and this rule was among the reasons.
#[track_caller]
fn by(rule: Rule, policy: &Policy, seen: &Seen, to: u64) -> Decision {
    let decision = goes(policy, seen, to);
    assert!(decision.clamps.iter().any(|clamp| clamp.rule == rule), "{}", decision.reason);
    decision
}

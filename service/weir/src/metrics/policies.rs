//! What is measured of scaling policies, with labels for namespace, job and group.
//!
//! In: the policies' status at the moment of a scrape. What is not known then is not shown.

use prometheus::{CounterVec, GaugeVec, IntCounterVec, IntGaugeVec};

use super::{Maker, signed};
use crate::status::PolicyStatus;

const GROUP: [&str; 3] = ["namespace", "job", "group"];
const DECISION: [&str; 4] = ["namespace", "job", "group", "result"];

/// The metrics of all policies.
#[derive(Debug)]
pub(super) struct Policies {
    count: IntGaugeVec,
    wanted: IntGaugeVec,
    draining: IntGaugeVec,
    alarm: IntGaugeVec,
    work: GaugeVec,
    queued: GaugeVec,
    tunnels: GaugeVec,
    blocked: CounterVec,
    decisions: IntCounterVec,
}

impl Policies {
    pub(super) fn new(make: &Maker) -> prometheus::Result<Self> {
        let work = "Requests that a group serves and those that wait, without tunnels.";
        let tunnels = "Tunnels (websockets) on instances that serve.";
        let alarm = "1 where more instances are needed and would not help: what they share is slow.";
        let blocked = "Time in which a group needed more and Nomad refused to scale.";
        Ok(Self {
            count: make.gauges("policy_count", "Instances that a group has.", &GROUP)?,
            wanted: make.gauges("policy_wanted", "Instances that the last decision asks for.", &GROUP)?,
            draining: make.gauges("policy_draining", "Instances of a group on their way out.", &GROUP)?,
            alarm: make.gauges("policy_alarm", alarm, &GROUP)?,
            work: make.floats("policy_work", work, &GROUP)?,
            queued: make.floats("policy_queued", "Requests that wait for a group.", &GROUP)?,
            tunnels: make.floats("policy_tunnels", tunnels, &GROUP)?,
            blocked: make.sums("policy_blocked_seconds_total", blocked, &GROUP)?,
            decisions: make.counters(
                "policy_decisions_total",
                "Decisions, by what they ask for.",
                &DECISION,
            )?,
        })
    }

    pub(super) fn observe(&self, policies: &[PolicyStatus]) {
        for gauge in [&self.count, &self.wanted, &self.draining, &self.alarm] {
            gauge.reset();
        }
        for gauge in [&self.work, &self.queued, &self.tunnels] {
            gauge.reset();
        }
        for policy in policies {
            self.observe_state(policy);
            self.observe_sums(policy);
        }
    }

    fn observe_state(&self, policy: &PolicyStatus) {
        let labels = [policy.namespace.as_str(), &policy.job, &policy.group];
        let draining = policy.drain.as_ref().map_or(0, |drain| drain.instances.len());
        self.draining.with_label_values(&labels).set(signed(draining));
        let Some(decision) = &policy.last_decision else { return };
        let number = |name: &str| decision[name].as_i64().unwrap_or_default();
        self.count.with_label_values(&labels).set(number("from"));
        self.wanted.with_label_values(&labels).set(number("to"));
        self.alarm.with_label_values(&labels).set(i64::from(decision["alarm"] == true));
        let load = &decision["demand"]["known"];
        for (gauge, name) in [(&self.work, "work"), (&self.queued, "queued"), (&self.tunnels, "tunnels")] {
            if let Some(value) = load[name].as_f64() {
                gauge.with_label_values(&labels).set(value);
            }
        }
    }

    /// Counters only rise: what the scaler counted since the last scrape is added.
    fn observe_sums(&self, policy: &PolicyStatus) {
        let labels = [policy.namespace.as_str(), &policy.job, &policy.group];
        let blocked = self.blocked.with_label_values(&labels);
        blocked.inc_by((policy.blocked_seconds - blocked.get()).max(0.0));
        let [namespace, job, group] = labels;
        for (result, count) in &policy.decisions {
            let decisions = self.decisions.with_label_values(&[namespace, job, group, result]);
            decisions.inc_by(count.saturating_sub(decisions.get()));
        }
    }
}

//! The status, put together from what every part publishes.

use std::sync::Arc;

use jiff::Timestamp;
use tokio::sync::watch;
use weir_consul::Health;

use crate::journal::Journal;
use crate::metrics::Metrics;
use crate::pool_loop::Report;
use crate::status::{
    ConsulStatus, HaproxyState, HaproxyStatus, ScalingStatus, Status, TemplateState, TemplateStatus,
};

/// Where the parts of the status come from.
#[derive(Debug, Clone)]
pub(crate) struct Views {
    pub(crate) started: Timestamp,
    pub(crate) cluster: String,
    pub(crate) consul: watch::Receiver<Arc<Health>>,
    pub(crate) pools: Vec<watch::Receiver<Report>>,
    pub(crate) scaling: Option<watch::Receiver<ScalingStatus>>,
    pub(crate) journal: Journal,
    pub(crate) metrics: Arc<Metrics>,
}

impl Views {
    /// The state of everything, now.
    pub(crate) fn status(&self) -> Status {
        let reports: Vec<Report> = self.pools.iter().map(|report| report.borrow().clone()).collect();
        let templates: Vec<TemplateStatus> =
            reports.iter().flat_map(|report| report.templates.clone()).collect();
        let haproxy: Vec<HaproxyStatus> = reports.into_iter().map(|report| report.haproxy).collect();
        let reasons = not_ready(&templates, &haproxy);
        Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            started: self.started,
            cluster: self.cluster.clone(),
            ready: reasons.is_empty(),
            reasons,
            consul: consul(&self.consul.borrow()),
            templates,
            haproxy,
            scaling: self.scaling.as_ref().map(|scaling| scaling.borrow().clone()),
        }
    }

    /// Why weir is not healthy: what it put in the files is not what HAProxy runs.
    pub(crate) fn ailments(&self) -> Vec<String> {
        let failed = |haproxy: &HaproxyStatus| {
            let reload =
                haproxy.last_reload.as_ref().filter(|reload| !reload.ok && haproxy.reload_pending)?;
            let error = reload.error.clone().unwrap_or_default();
            Some(format!("HAProxy does not run what is written, its reload fails: {error}"))
        };
        self.pools.iter().filter_map(|report| failed(&report.borrow().haproxy)).collect()
    }
}

fn not_ready(templates: &[TemplateStatus], haproxy: &[HaproxyStatus]) -> Vec<String> {
    let mut reasons = Vec::new();
    for template in templates {
        let what = match template.state {
            TemplateState::InForce => continue,
            TemplateState::Waiting => format!("waits for {}", template.waiting_for.join(", ")),
            TemplateState::Failed => template.error.clone().unwrap_or_else(|| "cannot be used".into()),
            TemplateState::Held => "is not in force yet".into(),
        };
        reasons.push(format!("{}: {what}", template.source));
    }
    for haproxy in haproxy.iter().filter(|haproxy| haproxy.state == HaproxyState::NotRunning) {
        let name = if haproxy.name.is_empty() { "HAProxy" } else { &haproxy.name };
        reasons.push(format!("{name} does not answer"));
    }
    reasons
}

fn consul(health: &Health) -> ConsulStatus {
    let since = Timestamp::try_from(health.since).unwrap_or(Timestamp::UNIX_EPOCH);
    let problem = health.problems.iter().next().map(|(query, problem)| format!("{query}: {problem}"));
    ConsulStatus {
        state: word(health.state),
        error: health.error.clone().or(problem),
        since,
        attempts: health.attempts,
        mode: word(health.mode),
        watches: health.watches,
    }
}

/// An enum's variant as it is serialized.
fn word(variant: impl serde::Serialize) -> String {
    let value = serde_json::to_value(variant).unwrap_or_default();
    value.as_str().unwrap_or("unknown").to_owned()
}

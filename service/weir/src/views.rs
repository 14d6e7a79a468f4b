//! The status, put together from what every part publishes.

use std::sync::Arc;

use jiff::Timestamp;
use tokio::sync::watch;
use weir_consul::{Health, Reach};

use crate::intents::Known;
use crate::journal::Journal;
use crate::metrics::Metrics;
use crate::peers::{self, Others};
use crate::pool_loop::Report;
use crate::status::{
    ConsulStatus, HaproxyState, HaproxyStatus, ScalingStatus, Status, TemplateState, TemplateStatus,
};
use crate::wake::Wake;

/// Where the parts of the status come from.
#[derive(Debug, Clone)]
pub(crate) struct Views {
    pub(crate) started: Timestamp,
    pub(crate) cluster: String,
    pub(crate) consul: watch::Receiver<Arc<Health>>,
    pub(crate) pools: Vec<watch::Receiver<Report>>,
    pub(crate) scaling: Option<watch::Receiver<ScalingStatus>>,
    pub(crate) wake: Option<Wake>,
    pub(crate) peers: Others,
    pub(crate) intents: watch::Receiver<Arc<Known>>,
    pub(crate) journal: Journal,
    pub(crate) metrics: Arc<Metrics>,
}

impl Views {
    /// The state of everything, now.
    pub(crate) fn status(&self) -> Status {
        let reports: Vec<Report> = self.pools.iter().map(|report| report.borrow().clone()).collect();
        let templates: Vec<TemplateStatus> =
            reports.iter().flat_map(|report| report.templates.clone()).collect();
        let haproxy: Vec<HaproxyStatus> = reports.iter().map(Report::whole).collect();
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
            wake: self.wake.as_ref().map(Wake::status).unwrap_or_default(),
            peers: peers::status(&self.peers),
            scaling: self.scaling.as_ref().map(|scaling| scaling.borrow().clone()),
            intents: self.intents.borrow().status(),
            intent_problems: self.intents.borrow().problems.clone(),
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
    let templates = templates.iter().filter_map(template_not_ready);
    templates.chain(haproxy.iter().flat_map(haproxy_not_ready)).collect()
}

fn template_not_ready(template: &TemplateStatus) -> Option<String> {
    let source = &template.source;
    Some(match (template.state, &template.error) {
        (TemplateState::InForce, _) => return None,
        (TemplateState::Waiting, _) => format!("{source}: waits for {}", template.waiting_for.join(", ")),
        // It names the template itself, and the line.
        (TemplateState::Failed, Some(error)) => error.clone(),
        (TemplateState::Failed, None) => format!("{source}: cannot be used"),
        (TemplateState::Held, _) => format!("{source}: is not in force yet"),
    })
}

fn haproxy_not_ready(haproxy: &HaproxyStatus) -> Vec<String> {
    let name = if haproxy.name.is_empty() { "HAProxy" } else { &haproxy.name };
    let why = haproxy.unseen.as_ref().map_or(String::new(), |why| format!(": {why}"));
    let absent = (haproxy.state == HaproxyState::NotRunning).then(|| format!("{name} does not answer{why}"));
    let failed = haproxy.last_reload.as_ref().and_then(|reload| reload.error.as_ref());
    let pending = (haproxy.reload_pending && absent.is_none()).then(|| match failed {
        Some(error) => format!("{name} does not run what is written, its reload fails: {error}"),
        None => format!("{name} does not run what is written yet: a reload is pending"),
    });
    let held = haproxy.held_back.as_ref().map(|why| format!("{name}: changes are held back: {why}"));
    [absent, pending, held].into_iter().flatten().collect()
}

fn consul(health: &Health) -> ConsulStatus {
    let since = Timestamp::try_from(health.since).unwrap_or(Timestamp::UNIX_EPOCH);
    let problem = health.problems.iter().next().map(|(query, problem)| format!("{query}: {problem}"));
    ConsulStatus {
        state: if denied(health) { word(Reach::Denied) } else { word(health.state) },
        error: health.error.clone().or(problem),
        since,
        attempts: health.attempts,
        mode: word(health.mode),
        watches: health.watches,
    }
}

/// Whether Consul answers, and refuses something that is read. The words are those of `weir_consul::Error::Denied`,
/// which the test below holds.
fn denied(health: &Health) -> bool {
    let refused = |problem: &String| problem.contains("give weir's token the permission");
    matches!(health.state, Reach::Starting | Reach::Ok) && health.problems.values().any(refused)
}

/// An enum's variant as it is serialized.
fn word(variant: impl serde::Serialize) -> String {
    let value = serde_json::to_value(variant).unwrap_or_default();
    value.as_str().unwrap_or("unknown").to_owned()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::SystemTime;

    use weir_consul::{Error, Mode};
    use weir_pools::Query;

    use super::*;
    use crate::status::LastReload;

    fn health(state: Reach, problem: Option<String>) -> Health {
        let query = Query::Key { path: "a".into(), datacenter: None };
        let problems: BTreeMap<Query, String> =
            problem.into_iter().map(|problem| (query.clone(), problem)).collect();
        let since = SystemTime::now();
        Health {
            state,
            error: None,
            since,
            attempts: 1,
            mode: Mode::Narrow,
            watches: 1,
            wakeups: 0,
            problems,
        }
    }

    #[test]
    fn a_token_that_may_not_read_is_said_to_be_denied() {
        let refused = Error::Denied { what: "key a".into(), body: "Permission denied".into() }.chain();
        assert_eq!(consul(&health(Reach::Ok, Some(refused.clone()))).state, "denied");
        assert!(
            consul(&health(Reach::Ok, Some(refused.clone()))).error.unwrap().contains("Permission denied")
        );
        assert_eq!(consul(&health(Reach::Starting, Some(refused.clone()))).state, "denied");
        assert_eq!(consul(&health(Reach::Unreachable, Some(refused))).state, "unreachable");
        assert_eq!(consul(&health(Reach::Ok, Some("too large".into()))).state, "ok");
        assert_eq!(consul(&health(Reach::Ok, None)).state, "ok");
    }

    fn haproxy() -> HaproxyStatus {
        HaproxyStatus {
            name: String::new(),
            state: HaproxyState::Running,
            pid: None,
            old_workers: None,
            unseen: None,
            version: None,
            pools: Vec::new(),
            left_out: Vec::new(),
            last_change: None,
            last_reload: None,
            reload_pending: false,
            reloads: 0,
            held_back: None,
        }
    }

    #[test]
    fn a_template_is_named_once_where_it_is_not_ready() {
        let template = |state, error: Option<&str>| TemplateStatus {
            source: "/a.hbs".into(),
            destination: "/a".into(),
            haproxy: String::new(),
            state,
            waiting_for: Vec::new(),
            error: error.map(str::to_owned),
            last_good: false,
        };
        let failed = template(TemplateState::Failed, Some("/a.hbs:2:7: unknown field `Prt`"));
        let templates = [failed, template(TemplateState::Held, None)];
        let expected = ["/a.hbs:2:7: unknown field `Prt`", "/a.hbs: is not in force yet"];
        assert_eq!(not_ready(&templates, &[]), expected);
    }

    #[test]
    fn what_haproxy_does_not_run_is_not_ready() {
        assert_eq!(not_ready(&[], &[haproxy()]), Vec::<String>::new());
        let failed =
            LastReload { at: Timestamp::UNIX_EPOCH, took_ms: 1, ok: false, error: Some("no".into()) };
        let mended = HaproxyStatus { last_reload: Some(failed.clone()), ..haproxy() };
        assert_eq!(not_ready(&[], &[mended]), Vec::<String>::new());
        let pending = HaproxyStatus { reload_pending: true, ..haproxy() };
        let failing = HaproxyStatus { reload_pending: true, last_reload: Some(failed), ..haproxy() };
        let held = HaproxyStatus { held_back: Some("old workers".into()), ..haproxy() };
        assert_eq!(
            not_ready(&[], &[pending, failing, held]),
            [
                "HAProxy does not run what is written yet: a reload is pending",
                "HAProxy does not run what is written, its reload fails: no",
                "HAProxy: changes are held back: old workers",
            ]
        );
    }
}

//! The loop's state as the status shows it.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jiff::Timestamp;
use weir_pools::Instance;

use super::PoolLoop;
use super::holding::Hold;
use super::output::{Note, Output};
use super::seen_pools::{KeptServers, SeenPools};
use crate::journal::ChangeResult;
use crate::status::{HaproxyState, HaproxyStatus, LastChange, LastReload, TemplateState, TemplateStatus};

/// What a pool loop publishes.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Report {
    pub(crate) templates: Vec<TemplateStatus>,
    /// Without its pools.
    pub(crate) haproxy: HaproxyStatus,
    pub(crate) pools: SeenPools,
    /// What is kept, by backend, as Consul's IDs.
    pub(crate) kept: BTreeMap<String, Vec<String>>,
    /// Nothing can be told to HAProxy: it has no `stats_socket`.
    pub(crate) untold: bool,
    /// How it stands with requests that are held, by backend.
    pub(crate) holds: BTreeMap<String, Hold>,
}

impl Report {
    /// HAProxy with its pools.
    pub(crate) fn whole(&self) -> HaproxyStatus {
        HaproxyStatus { pools: self.pools.status(), ..self.haproxy.clone() }
    }
}

impl PoolLoop {
    /// The state as it is now.
    pub(crate) fn report(&self) -> Report {
        Report {
            templates: self.outputs.iter().map(|output| self.template(output)).collect(),
            haproxy: self.haproxy_status(),
            pools: self.seen_pools(),
            kept: self.kept(),
            untold: self.haproxy.is_some() && !self.live.is_on,
            holds: self.holds(),
        }
    }

    fn holds(&self) -> BTreeMap<String, Hold> {
        let has_it = |backend: &str| self.outputs.iter().any(|output| output.pools.contains_key(backend));
        if self.live.is_on { self.live.holds() } else { self.live.untold(has_it) }
    }

    fn kept(&self) -> BTreeMap<String, Vec<String>> {
        let ids = |held: &weir_pools::guard::Held| held.kept().map(|instance| instance.id.clone()).collect();
        self.guard.held().map(|(backend, held)| (backend.to_owned(), ids(held))).collect()
    }

    fn template(&self, output: &Output) -> TemplateStatus {
        let (state, waiting_for) = match &output.note {
            _ if output.problem().is_some() => (TemplateState::Failed, Vec::new()),
            _ if output.waits_for().is_some() => {
                (TemplateState::Waiting, output.waits_for().unwrap_or_default().to_vec())
            }
            Note::InForce => (TemplateState::InForce, Vec::new()),
            Note::Waiting(queries) => (TemplateState::Waiting, queries.clone()),
            Note::Failed(_) => (TemplateState::Failed, Vec::new()),
            Note::Held => (TemplateState::Held, Vec::new()),
        };
        let refused =
            self.refused.as_ref().filter(|_| output.note == Note::Held).map(|refused| &refused.problem);
        let failed = if let Note::Failed(error) = &output.note { Some(error) } else { None };
        let error = output.problem().map(str::to_owned).or_else(|| failed.or(refused).cloned());
        let error = error.map(|error| named(&output.config.name(), &error));
        TemplateStatus {
            source: output.config.name(),
            destination: output.config.destination.display().to_string(),
            haproxy: self.name.clone(),
            state,
            waiting_for,
            error,
            last_good: output.good.is_some(),
        }
    }

    fn haproxy_status(&self) -> HaproxyStatus {
        HaproxyStatus {
            name: self.name.clone(),
            state: self.seen.state.unwrap_or(HaproxyState::Unknown),
            pid: self.seen.pid,
            old_workers: self.seen.old_workers,
            unseen: self.seen.unseen.clone(),
            version: self.seen.version.clone(),
            pools: Vec::new(),
            left_out: self.left_out.iter().cloned().collect(),
            last_change: self.last_change.clone(),
            last_reload: self.last_reload.clone(),
            reload_pending: self.reload.reason.is_some(),
            reloads: self.reloads,
            held_back: self.held_back.clone(),
        }
    }

    fn seen_pools(&self) -> SeenPools {
        let kept = self.guard.held().map(|(backend, held)| {
            let servers = held.kept().map(Instance::server).collect();
            (backend.to_owned(), KeptServers { servers, panic: held.panic() })
        });
        SeenPools {
            outputs: self.outputs.iter().map(|output| output.pools.clone()).collect(),
            servers: self.seen.servers.clone(),
            intents: self.intents.clone(),
            kept: kept.collect(),
            waits: self.live.waits.clone(),
            by_hand: self.live.by_hand().to_vec(),
        }
    }
}

/// An error with the template's name before it, once.
fn named(template: &str, error: &str) -> String {
    if error.contains(template) { error.to_owned() } else { format!("{template}: {error}") }
}

pub(crate) fn last_change(reason: &str, took: Duration, result: &str, error: Option<String>) -> LastChange {
    let (reason, result) = (reason.to_owned(), result.to_owned());
    LastChange { at: Timestamp::now(), reason, took_ms: millis(took), result, error }
}

pub(crate) fn last_reload(took: Duration, error: Option<String>) -> LastReload {
    LastReload { at: Timestamp::now(), took_ms: millis(took), ok: error.is_none(), error }
}

pub(crate) fn word(result: ChangeResult) -> &'static str {
    match result {
        ChangeResult::Reloaded => "reloaded",
        ChangeResult::Commands => "commands",
        ChangeResult::Written => "written",
        ChangeResult::ReloadPending => "reload_pending",
    }
}

pub(crate) fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

pub(crate) fn seconds_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

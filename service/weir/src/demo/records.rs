//! Weir's records as the demo tells them: what `/v1/records` answers, in a few words each.

use jiff::Timestamp;
use serde::Deserialize;

/// One record with its place in time.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Entry {
    pub(super) seq: u64,
    pub(super) at: Timestamp,
    #[serde(flatten)]
    pub(super) event: Event,
}

/// The records that matter here; the names are the journal's.
#[derive(Debug, Clone, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(super) enum Event {
    Changed {
        reason: String,
        result: String,
        took_ms: u64,
    },
    Refused {
        error: String,
    },
    ReloadFailed {
        error: String,
    },
    Kept {
        backend: String,
        servers: Vec<String>,
    },
    Panic {
        backend: String,
        healthy: usize,
        known: usize,
    },
    HeldBack {
        backends: Vec<String>,
    },
    LeftOut {
        instance: String,
        reason: String,
    },
    PolicyProblem {
        problems: Vec<String>,
    },
    Leader {
        leading: bool,
    },
    Scaled {
        from: u64,
        to: u64,
        reason: String,
    },
    ScaleFailed {
        to: u64,
        result: String,
        error: String,
    },
    /// A record that says nothing new to who watches the demo.
    #[serde(other)]
    Other,
}

impl Event {
    /// The event in a line; `None` where it is not worth one.
    pub(super) fn text(&self) -> Option<String> {
        Some(match self {
            Self::Changed { reason, result, took_ms } if result == "reloaded" => {
                format!("HAProxy  reloaded, in force in {took_ms} ms: {reason}")
            }
            // Before HAProxy was started.
            Self::Changed { result, .. } if result == "written" => return None,
            Self::Changed { reason, result, .. } => {
                format!("HAProxy  {reason}: {}", result.replace('_', " "))
            }
            Self::Refused { error } => format!("HAProxy  not put in force: {error}"),
            Self::ReloadFailed { error } => format!("HAProxy  the reload failed and is tried again: {error}"),
            Self::Kept { backend, servers } => {
                format!("HAProxy  {backend} would become empty and keeps {}", servers.join(", "))
            }
            Self::Panic { backend, healthy, known } => {
                format!("HAProxy  {backend} keeps all: only {healthy} of {known} instances are healthy")
            }
            Self::HeldBack { backends } => {
                format!("HAProxy  held back: {} would become empty", backends.join(", "))
            }
            Self::LeftOut { instance, reason } => format!("HAProxy  {instance} is left out: {reason}"),
            Self::PolicyProblem { problems } => format!("policy   not acted on: {}", problems.join("; ")),
            Self::Leader { leading: true } => "leader   this weir holds the lock and may scale".to_owned(),
            Self::Leader { leading: false } => "leader   this weir may not scale".to_owned(),
            Self::Scaled { from, to, reason } => format!("Nomad    from {from} to {to}: {}", why(reason)),
            Self::ScaleFailed { to, result, .. } if result == "blocked" => {
                format!("Nomad    not to {to} yet: the deployment of the last change still runs")
            }
            Self::ScaleFailed { to, error, .. } => format!("Nomad    not to {to} yet: {error}"),
            Self::Other => return None,
        })
    }
}

/// A decision's reason without its "weir: up from 2 to 5: ", which has been said.
pub(super) fn why(reason: &str) -> &str {
    let reason = reason.strip_prefix("weir: ").unwrap_or(reason);
    let told = reason.starts_with("up from ") || reason.starts_with("down from ");
    reason.split_once(": ").filter(|_| told).map_or(reason, |(_, why)| why)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::journal::{ChangeResult, Journal, Record, ScaleResult};
    use crate::metrics::Metrics;

    /// What the demo says about a record after its way through the journal's JSON.
    fn told(record: Record) -> Option<String> {
        let journal = Journal::new(Arc::new(Metrics::new().unwrap()));
        journal.record(record);
        let json = serde_json::to_string(&journal.since(0)).unwrap();
        let entries: Vec<Entry> = serde_json::from_str(&json).unwrap();
        assert_eq!(entries[0].seq, 1);
        entries[0].event.text()
    }

    #[test]
    fn the_journals_records_are_understood() {
        let (haproxy, reason) = (String::new(), "web +a:1".to_owned());
        let result = ChangeResult::Reloaded;
        let (files, commands) = (vec!["f".into()], Vec::new());
        let changed = Record::Changed { haproxy, reason, files, result, commands, took_ms: 80 };
        assert_eq!(told(changed).unwrap(), "HAProxy  reloaded, in force in 80 ms: web +a:1");
        let [namespace, job, group] = ["default", "web", "app"].map(str::to_owned);
        let reason = "weir: up from 2 to 5: check \"load\": work of 16.0".to_owned();
        let scaled = Record::Scaled { namespace, job, group, from: 2, to: 5, reason };
        assert_eq!(told(scaled).unwrap(), "Nomad    from 2 to 5: check \"load\": work of 16.0");
        let [namespace, job, group] = ["default", "web", "app"].map(str::to_owned);
        let (result, error) = (ScaleResult::Blocked, "blocked".to_owned());
        let failed = Record::ScaleFailed { namespace, job, group, to: 6, result, error };
        assert_eq!(
            told(failed).unwrap(),
            "Nomad    not to 6 yet: the deployment of the last change still runs"
        );
        assert_eq!(told(Record::SourceAccepted { template: "x".into() }), None);
    }

    #[test]
    fn a_reason_is_shortened_only_where_it_repeats() {
        assert_eq!(why("holds 2: within: bounds"), "holds 2: within: bounds");
        assert_eq!(why("down from 5 to 2: check: less"), "check: less");
    }
}

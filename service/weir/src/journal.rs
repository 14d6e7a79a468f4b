//! The journal: what was seen, decided or done, at a time, with its reason.
//!
//! Every part of the daemon records here. The log and the metrics are made from records as they come; the last ones
//! are kept for whoever asks. In: [`Record`]s. Out: log lines, counters, [`Entry`]s. Recording never blocks and
//! never fails.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use serde::Serialize;
use strum::IntoStaticStr;
use tracing::{error, info, warn};

use crate::metrics::Metrics;
use crate::short::{self, short, short_words};
use crate::status::IntentStatus;

/// How many entries are kept for readers; at some hundred bytes each, well under a megabyte.
const KEPT: usize = 1000;

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Serialize, IntoStaticStr)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub(crate) enum Record {
    /// New text is in force: files are swapped, and HAProxy runs them where it runs.
    Changed {
        haproxy: String,
        reason: String,
        files: Vec<String>,
        result: ChangeResult,
        /// The commands that HAProxy took, where it was not reloaded.
        commands: Vec<String>,
        took_ms: u64,
    },
    /// HAProxy did not take a command; the next step follows from what it has then.
    CommandRefused { haproxy: String, command: String, reply: String },
    /// A new server did not pass its first check in time; it stays out of traffic until it does.
    CheckOverdue { haproxy: String, backend: String, server: String, after_s: u64 },
    /// HAProxy was started with other files than `config` names, so that what weir validates is not what runs.
    OtherFiles { haproxy: String, started_with: Vec<String>, configured: Vec<String> },
    /// HAProxy runs, and cannot be told anything: changes come into force by reloads meanwhile.
    NotTold { haproxy: String, error: String },
    /// New text was not put in force. Nothing that works was touched.
    Refused { haproxy: String, error: String },
    /// New text could not be written or checked; it is tried again. Nothing that works was touched.
    WriteFailed { haproxy: String, error: String },
    /// HAProxy was reloaded.
    Reloaded { haproxy: String, reason: String, pid: Option<u32>, took_ms: u64 },
    /// A reload failed; it is tried again.
    ReloadFailed { haproxy: String, error: String, again_in_ms: u64 },
    /// HAProxy runs another process than before, and weir did not ask for it.
    ProcessChanged { haproxy: String, pid: Option<u32> },
    /// HAProxy, or its old workers, cannot be seen.
    Unseen { haproxy: String, why: String },
    /// A template's source was edited.
    SourceChanged { template: String },
    /// A template cannot be used as it stands; its last good source stays in force, where there is one.
    SourceFailed { template: String, error: String, last_good: bool },
    /// A template's new source is in force.
    SourceAccepted { template: String },
    /// A pool keeps instances that Consul no longer lists.
    Kept { haproxy: String, backend: String, servers: Vec<String> },
    /// Too few of a pool's instances are healthy: those that turned critical stay in it.
    Panic { haproxy: String, backend: String, healthy: usize, known: usize, servers: Vec<String> },
    /// A pool holds what Consul says again.
    Released { haproxy: String, backend: String, why: String },
    /// Pools would become empty and nothing can be kept for them: the file in force stays.
    HeldBack { haproxy: String, backends: Vec<String> },
    /// An instance is left out: what would be printed of it does not fit its place, or HAProxy refuses it. Without an
    /// `instance`, `service` names a listed service, or `key PATH` or `section NAME` that stays as it was.
    LeftOut { haproxy: String, service: String, instance: String, node: String, reason: String },
    /// An instance that was left out fits again, or is gone.
    LeftOutEnded { haproxy: String, service: String, instance: String, node: String },
    /// Something is wished of a server from now on.
    Intended(IntentStatus),
    /// It is no longer wished, or its time is over.
    IntentEnded {
        #[serde(flatten)]
        intent: IntentStatus,
        expired: bool,
    },
    /// Connections of a pool whose group is at zero are closed instead of held; said once a minute.
    NotHeld { haproxy: String, backend: String, why: String },
    /// Something is wrong with the intents in Consul.
    IntentProblem { problem: String },
    /// A file beside the configuration changed on the disk, and HAProxy runs it, without a reload.
    FileChanged { haproxy: String, file: String, file_kind: String, why: String, took_ms: u64 },
    /// Such a file cannot be brought in force; HAProxy goes on with what it had.
    FileFailed { haproxy: String, file: String, file_kind: String, error: String },
    /// Such a file changed in a way that only a reload brings in force.
    FileNeedsReload { haproxy: String, file: String, file_kind: String, why: String },
    /// Consul answers, or does not.
    Consul { state: String, error: Option<String> },
    /// Nomad answers, or does not.
    Nomad { up: bool, error: Option<String> },
    /// This weir may change Nomad, or no longer may.
    Leader { leading: bool },
    /// A policy has mistakes and is not acted on; its last good version is, where there was one.
    PolicyProblem { namespace: String, job: String, group: String, problems: Vec<String>, last_good: bool },
    /// Instances, by the number in their names, are drained before the count goes down.
    Draining {
        namespace: String,
        job: String,
        group: String,
        from: u64,
        to: u64,
        instances: Vec<u64>,
        reason: String,
    },
    /// A drain is over.
    DrainEnded { namespace: String, job: String, group: String, to: u64, result: DrainResult, why: String },
    /// A group was asked to have another count.
    Scaled { namespace: String, job: String, group: String, from: u64, to: u64, reason: String },
    /// More instances are needed and would not help, as the last ones brought nothing.
    NoGain { namespace: String, job: String, group: String, count: u64, reason: String },
    /// A scale was not accepted.
    ScaleFailed { namespace: String, job: String, group: String, to: u64, result: ScaleResult, error: String },
}

/// How new text came into force.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ChangeResult {
    /// HAProxy was reloaded and its new worker answers.
    Reloaded,
    /// HAProxy was told, and was seen to have done so. The file follows.
    Commands,
    /// The file is written; HAProxy does not run, or no HAProxy loads it.
    Written,
    /// The file is written; the reload failed and is tried again.
    ReloadPending,
}

/// Why a scale was not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ScaleResult {
    /// A deployment is under way: a normal state, asked again later.
    Blocked,
    /// The job changed meanwhile: seen and decided again.
    Conflict,
    /// Anything else.
    Failed,
}

/// What came of a drain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum DrainResult {
    /// Nomad stopped what was drained.
    Stopped,
    /// Nomad stopped others than some that were drained.
    Spared,
    /// It was given up, and the instances serve again.
    Withdrawn,
}

/// A record with its place in time.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Entry {
    /// Counts from 1 since the start of the process.
    pub(crate) seq: u64,
    pub(crate) at: Timestamp,
    #[serde(flatten)]
    pub(crate) record: Record,
}

/// The journal; clones are the same one.
#[derive(Debug, Clone)]
pub(crate) struct Journal {
    entries: Arc<Mutex<VecDeque<Entry>>>,
    metrics: Arc<Metrics>,
}

impl Journal {
    pub(crate) fn new(metrics: Arc<Metrics>) -> Self {
        Self { entries: Arc::default(), metrics }
    }

    pub(crate) fn record(&self, record: Record) {
        log(&record);
        self.metrics.count(&record);
        let mut entries = self.entries();
        let seq = entries.back().map_or(1, |entry| entry.seq + 1);
        entries.push_back(Entry { seq, at: Timestamp::now(), record });
        if entries.len() > KEPT {
            entries.pop_front();
        }
    }

    /// The entries after `seq`, oldest first.
    pub(crate) fn since(&self, seq: u64) -> Vec<Entry> {
        self.entries().iter().filter(|entry| entry.seq > seq).cloned().collect()
    }

    fn entries(&self) -> MutexGuard<'_, VecDeque<Entry>> {
        // A panic while recording leaves a queue that is still whole.
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One line per record. Loud (error) is what a person should act on.
fn log(record: &Record) {
    match record {
        Record::Changed { .. }
        | Record::Reloaded { .. }
        | Record::ProcessChanged { .. }
        | Record::SourceChanged { .. }
        | Record::SourceAccepted { .. }
        | Record::Released { .. }
        | Record::LeftOutEnded { .. }
        | Record::Intended(_)
        | Record::IntentEnded { .. }
        | Record::FileChanged { .. }
        | Record::FileNeedsReload { .. }
        | Record::Leader { .. }
        | Record::Nomad { up: true, .. }
        | Record::Draining { .. }
        | Record::DrainEnded { result: DrainResult::Stopped | DrainResult::Withdrawn, .. }
        | Record::Scaled { .. } => info!("{}", sentence(record)),
        Record::Consul { error: None, .. } => info!("{}", sentence(record)),
        Record::ScaleFailed { result: ScaleResult::Blocked | ScaleResult::Conflict, .. } => {
            info!("{}", sentence(record));
        }
        Record::ReloadFailed { .. }
        | Record::CommandRefused { .. }
        | Record::CheckOverdue { .. }
        | Record::NotTold { .. }
        | Record::Unseen { .. }
        | Record::OtherFiles { .. }
        | Record::LeftOut { .. }
        | Record::IntentProblem { .. }
        | Record::NotHeld { .. }
        | Record::Consul { .. }
        | Record::Nomad { .. }
        | Record::PolicyProblem { .. }
        | Record::DrainEnded { .. }
        | Record::ScaleFailed { .. } => warn!("{}", sentence(record)),
        Record::Refused { .. }
        | Record::WriteFailed { .. }
        | Record::SourceFailed { .. }
        | Record::FileFailed { .. }
        | Record::Kept { .. }
        | Record::Panic { .. }
        | Record::NoGain { .. }
        | Record::HeldBack { .. } => error!("{}", sentence(record)),
    }
}

/// A record in words, for the log and the terminal.
pub(crate) fn sentence(record: &Record) -> String {
    match record {
        Record::Refused { haproxy, error } => format!("{}not put in force: {error}", of(haproxy)),
        Record::WriteFailed { haproxy, error } => {
            format!("{}cannot be written, tried again: {error}", of(haproxy))
        }
        Record::Reloaded { haproxy, reason, pid, took_ms } => {
            let pid = pid.map_or(String::new(), |pid| format!(", worker {pid}"));
            format!("{}reloaded in {took_ms} ms{pid} ({reason})", of(haproxy))
        }
        Record::ReloadFailed { haproxy, error, again_in_ms } => {
            format!("{}reload failed, again in {again_in_ms} ms: {error}", of(haproxy))
        }
        Record::ProcessChanged { haproxy, pid } => match pid {
            Some(pid) => format!("{}HAProxy runs as process {pid}", of(haproxy)),
            None => format!("{}HAProxy does not run", of(haproxy)),
        },
        Record::Unseen { haproxy, why } => format!("{}HAProxy: {why}", of(haproxy)),
        Record::SourceChanged { template } => format!("{template}: edited"),
        Record::SourceFailed { template, error, last_good } => {
            source_failed_sentence(template, error, *last_good)
        }
        Record::SourceAccepted { template } => format!("{template}: in force"),
        Record::Kept { haproxy, backend, servers } => format!(
            "{}backend {backend} would become empty; keeping {} until instances come back. If zero is meant: \
             weir servers --confirm-empty {backend}",
            of(haproxy),
            short::list(servers)
        ),
        Record::Panic { haproxy, backend, healthy, known, servers } => format!(
            "{}backend {backend}: panic: only {healthy} of {known} instances are healthy, less than `panic_threshold`; \
             keeping {} as far as HAProxy's own checks pass them, until enough are healthy. If they are to go now: weir \
             servers --confirm-empty {backend}",
            of(haproxy),
            short::list(servers)
        ),
        Record::Released { haproxy, backend, why } => {
            format!("{}backend {backend} follows Consul again: {why}", of(haproxy))
        }
        Record::HeldBack { haproxy, backends } => format!(
            "{}the file in force stays: backend {} would become empty. If zero is meant: {}",
            of(haproxy),
            backends.join(", "),
            confirming(backends)
        ),
        Record::LeftOut { haproxy, service, instance, node, reason } => {
            let instance = instance_of(service, instance, node);
            format!("{}{instance} is left out: {}", of(haproxy), short_words(reason))
        }
        Record::LeftOutEnded { haproxy, service, instance, node } => {
            format!("{}{} is no longer left out", of(haproxy), instance_of(service, instance, node))
        }
        other => change_sentence(other),
    }
}

fn source_failed_sentence(template: &str, error: &str, last_good: bool) -> String {
    let error = error.strip_prefix(&format!("{template}: ")).unwrap_or(error);
    let stays = if last_good {
        "what is in force stays"
    } else {
        "no source of it was good before, so the file stays as it is"
    };
    format!("{template}: cannot be used, {stays}: {error}")
}

/// The commands by which a person says that these pools may become empty.
pub(crate) fn confirming<'a>(backends: impl IntoIterator<Item = &'a String>) -> String {
    let commands = backends.into_iter().map(|backend| format!("weir servers --confirm-empty {backend}"));
    commands.collect::<Vec<_>>().join("; ")
}

fn change_sentence(record: &Record) -> String {
    match record {
        Record::Changed { haproxy, reason, result: ChangeResult::Commands, commands, took_ms, .. } => {
            let count = commands.len();
            let commands = if count == 1 { commands[0].clone() } else { format!("{count} commands") };
            format!("{}in force in {took_ms} ms by {commands} ({reason})", of(haproxy))
        }
        Record::Changed { haproxy, reason, files, result, took_ms, .. } => {
            let how = match result {
                ChangeResult::Commands => "in force",
                ChangeResult::Reloaded => "in force after a reload",
                ChangeResult::Written => "written",
                ChangeResult::ReloadPending => "written, reload pending",
            };
            format!("{}{}: {how} in {took_ms} ms ({reason})", of(haproxy), files.join(", "))
        }
        Record::CommandRefused { haproxy, command, reply } => {
            format!("{}HAProxy did not take `{command}`: {}", of(haproxy), short_words(reply))
        }
        Record::CheckOverdue { haproxy, backend, server, after_s } => format!(
            "{}{backend}/{server} gets no traffic: HAProxy's health check of it has not been good once in {after_s} s; see \
             what it answers to the check",
            of(haproxy)
        ),
        Record::OtherFiles { haproxy, started_with, configured } => format!(
            "{}HAProxy was started with {}, and `config` names {}: make them the same, in the same order",
            of(haproxy),
            started_with.join(", "),
            configured.join(", ")
        ),
        Record::NotTold { haproxy, error } => {
            format!(
                "{}HAProxy cannot be told what changed, only a reload brings it in force: {error}",
                of(haproxy)
            )
        }
        other => intent_sentence(other),
    }
}

fn intent_sentence(record: &Record) -> String {
    match record {
        Record::Intended(intent) => format!("{}: {}", server_of(intent), intent.words),
        Record::IntentEnded { intent, expired } => {
            let how = if *expired { "its time is over" } else { "taken back" };
            format!("{}: no longer in force, {how}: {}", server_of(intent), intent.words)
        }
        Record::IntentProblem { problem } => short_words(problem),
        Record::NotHeld { haproxy, backend, why } => {
            format!("{}pool {backend}: connections are closed that should be held: {why}", of(haproxy))
        }
        other => scaling_sentence(other),
    }
}

fn server_of(intent: &IntentStatus) -> String {
    format!("{}/{}", short(&intent.backend), short(&intent.server))
}

fn scaling_sentence(record: &Record) -> String {
    match record {
        Record::Consul { state, error } => with_error(&format!("Consul: {state}"), error.as_ref()),
        Record::Nomad { up, error } => {
            with_error(if *up { "Nomad answers" } else { "Nomad does not answer" }, error.as_ref())
        }
        Record::Leader { leading: true } => "leader: this weir may change Nomad".into(),
        Record::Leader { leading: false } => "no longer leader".into(),
        Record::PolicyProblem { namespace, job, group, problems, last_good } => {
            let what = if *last_good {
                "has mistakes, its last good version stays in force"
            } else {
                "is not acted on"
            };
            format!("policy of {namespace}/{job}/{group} {what}: {}", problems.join("; "))
        }
        Record::Scaled { namespace, job, group, from, to, reason } => {
            format!("{namespace}/{job}/{group}: {from} to {to} instances: {reason}")
        }
        Record::NoGain { namespace, job, group, reason, .. } => {
            format!("{namespace}/{job}/{group}: more instances are needed and would not help: {reason}")
        }
        Record::ScaleFailed { namespace, job, group, to, error, .. } => {
            format!("{namespace}/{job}/{group}: not scaled to {to}: {error}")
        }
        other => drain_sentence(other),
    }
}

fn drain_sentence(record: &Record) -> String {
    match record {
        Record::Draining { namespace, job, group, from, to, instances, reason } => {
            let numbers: Vec<String> = instances.iter().map(|number| format!("[{number}]")).collect();
            let numbers = if numbers.is_empty() { "none".to_owned() } else { numbers.join(", ") };
            format!(
                "{namespace}/{job}/{group}: {numbers} drained before it goes from {from} to {to}: {reason}"
            )
        }
        Record::DrainEnded { namespace, job, group, to, result, why } => {
            let what = match result {
                DrainResult::Stopped => "what was drained is stopped".to_owned(),
                DrainResult::Spared => {
                    format!("other instances were stopped than the drained {why}, which serve again")
                }
                DrainResult::Withdrawn => {
                    format!("not gone down to, the drained instances serve again: {why}")
                }
            };
            format!("{namespace}/{job}/{group}: {to}: {what}")
        }
        other => file_sentence(other),
    }
}

fn file_sentence(record: &Record) -> String {
    match record {
        Record::FileChanged { haproxy, file, file_kind, why, took_ms } => {
            format!("{}{file_kind} {file}: in force in {took_ms} ms, without a reload ({why})", of(haproxy))
        }
        Record::FileFailed { haproxy, file, file_kind, error } => format!(
            "{}{file_kind} {file}: not in force, HAProxy goes on with what it had: {error}. Mend the file; weir sees it at once",
            of(haproxy)
        ),
        Record::FileNeedsReload { haproxy, file, file_kind, why } => {
            format!("{}{file_kind} {file}: HAProxy is reloaded for it: {why}", of(haproxy))
        }
        other => format!("{other:?}"),
    }
}

fn instance_of(service: &str, instance: &str, node: &str) -> String {
    if instance.is_empty() {
        // A listed service, a key or a section.
        return short(service).to_string();
    }
    format!("service {}: instance {} on {}", short(service), short(instance), short(node))
}

fn with_error(text: &str, error: Option<&String>) -> String {
    error.map_or_else(|| text.to_owned(), |error| format!("{text}: {error}"))
}

/// The HAProxy's name as a prefix, where it has one.
fn of(haproxy: &str) -> String {
    if haproxy.is_empty() { String::new() } else { format!("haproxy {haproxy}: ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pool_that_would_become_empty_is_named_in_the_command() {
        let said = |backends: &[&str]| {
            let backends = backends.iter().map(|name| (*name).to_owned()).collect();
            sentence(&Record::HeldBack { haproxy: String::new(), backends })
        };
        assert!(
            said(&["web"]).ends_with("If zero is meant: weir servers --confirm-empty web"),
            "{}",
            said(&["web"])
        );
        let both = "weir servers --confirm-empty web; weir servers --confirm-empty api";
        assert!(said(&["web", "api"]).ends_with(both), "{}", said(&["web", "api"]));
    }

    #[test]
    fn entries_are_numbered_and_the_oldest_fall_out() {
        let journal = Journal::new(Arc::new(Metrics::new().unwrap()));
        for _ in 0..=KEPT {
            journal.record(Record::SourceChanged { template: "a.hbs".into() });
        }
        let entries = journal.since(0);
        assert_eq!((entries.len(), entries[0].seq), (KEPT, 2));
        assert_eq!(journal.since(KEPT as u64).len(), 1);
    }
}

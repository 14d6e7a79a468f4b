//! What `/v1/status` says: the state of every part, as it is now.
//!
//! Each loop publishes its own part on a watch channel; this module is only the shapes. They are an interface: names
//! are not changed lightly.

use std::borrow::Cow;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use weir_pools::intents::Wish;

/// The whole status.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Status {
    pub(crate) version: String,
    pub(crate) started: Timestamp,
    pub(crate) cluster: String,
    /// Whether everything is rendered and HAProxy answers.
    pub(crate) ready: bool,
    /// Why it is not ready.
    pub(crate) reasons: Vec<String>,
    pub(crate) consul: ConsulStatus,
    pub(crate) templates: Vec<TemplateStatus>,
    pub(crate) haproxy: Vec<HaproxyStatus>,
    /// The other load balancers of the cluster, where block `peer` is configured.
    #[serde(default)]
    pub(crate) peers: Vec<PeerStatus>,
    /// Absent where Nomad is not configured.
    pub(crate) scaling: Option<ScalingStatus>,
    /// What is wished of servers and in force, whether they are there or not.
    #[serde(default)]
    pub(crate) intents: Vec<IntentStatus>,
    /// What is wrong with the intents in Consul.
    #[serde(default)]
    pub(crate) intent_problems: Vec<String>,
}

/// What an owner wishes of a server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct IntentStatus {
    pub(crate) backend: String,
    pub(crate) server: String,
    pub(crate) wish: Wish,
    pub(crate) owner: String,
    pub(crate) reason: String,
    pub(crate) since: Timestamp,
    /// When it ends by itself.
    pub(crate) until: Option<Timestamp>,
    /// All of that in words.
    pub(crate) words: String,
}

/// Another load balancer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PeerStatus {
    /// Its node, and where its weir is reached.
    pub(crate) name: String,
    /// Whether it answered when it was asked last.
    pub(crate) answers: bool,
    /// How old its last answer is; absent before the first.
    pub(crate) age_ms: Option<u64>,
    /// Why it does not answer.
    pub(crate) error: Option<String>,
}

/// The connection to Consul.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct ConsulStatus {
    pub(crate) state: String,
    pub(crate) error: Option<String>,
    pub(crate) since: Timestamp,
    /// Requests sent since the start.
    pub(crate) attempts: u64,
    pub(crate) mode: String,
    /// Blocking queries that are open.
    pub(crate) watches: usize,
}

/// One template.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TemplateStatus {
    pub(crate) source: String,
    pub(crate) destination: String,
    /// The HAProxy that loads it; empty for the one without a label.
    pub(crate) haproxy: String,
    pub(crate) state: TemplateState,
    /// What it reads and Consul has not said yet.
    pub(crate) waiting_for: Vec<String>,
    pub(crate) error: Option<String>,
}

/// Where a template stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum TemplateState {
    /// Its output is in force.
    InForce,
    /// It reads something that is not known yet.
    Waiting,
    /// Its newest source cannot be used; the last good one, if there is one, is in force.
    Failed,
    /// Its newest output is not put in force, or not yet.
    Held,
}

/// One HAProxy, or the group of templates that no HAProxy loads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct HaproxyStatus {
    pub(crate) name: String,
    pub(crate) state: HaproxyState,
    pub(crate) pid: Option<u32>,
    pub(crate) old_workers: Option<usize>,
    pub(crate) version: Option<String>,
    pub(crate) pools: Vec<PoolStatus>,
    pub(crate) left_out: Vec<LeftOut>,
    pub(crate) last_change: Option<LastChange>,
    pub(crate) last_reload: Option<LastReload>,
    pub(crate) reload_pending: bool,
    /// Reloads that weir made since it started.
    pub(crate) reloads: u64,
    /// Why changes are held back now, if they are.
    pub(crate) held_back: Option<String>,
}

/// Whether HAProxy runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum HaproxyState {
    Running,
    NotRunning,
    /// Weir has no socket to ask.
    Unknown,
}

/// One backend that weir's templates feed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PoolStatus {
    pub(crate) backend: String,
    pub(crate) servers: Vec<ServerStatus>,
    /// Why servers stay that Consul no longer lists, or lists as critical.
    #[serde(default)]
    pub(crate) held: Option<String>,
    /// The servers that stay.
    pub(crate) kept: Vec<String>,
}

/// One server of a pool.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ServerStatus {
    /// Its name in HAProxy; its address while it has not been sampled.
    pub(crate) name: String,
    /// `ADDRESS:PORT`.
    pub(crate) address: String,
    /// What HAProxy makes of it; absent while it has not been sampled.
    pub(crate) state: Option<weir_scaling::ServerState>,
    pub(crate) sessions: Option<u64>,
    /// Requests that wait for this server alone.
    #[serde(default)]
    pub(crate) queue: Option<u64>,
    /// When its state began, as far as weir and HAProxy know.
    #[serde(default)]
    pub(crate) since: Option<Timestamp>,
    /// Why it is in its state, in words.
    #[serde(default)]
    pub(crate) cause: Option<Cow<'static, str>>,
}

/// An instance that is left out, and why.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct LeftOut {
    pub(crate) service: String,
    pub(crate) instance: String,
    pub(crate) node: String,
    /// Where its value would have stood: output, line, place.
    pub(crate) place: String,
    pub(crate) reason: String,
}

/// The last time that new text was to be put in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LastChange {
    pub(crate) at: Timestamp,
    pub(crate) reason: String,
    pub(crate) took_ms: u64,
    /// `reloaded`, `written`, `reload_pending`, `refused` or `failed`.
    pub(crate) result: String,
    pub(crate) error: Option<String>,
}

/// The last reload that weir made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LastReload {
    pub(crate) at: Timestamp,
    pub(crate) took_ms: u64,
    pub(crate) ok: bool,
    pub(crate) error: Option<String>,
}

/// The scaler.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct ScalingStatus {
    pub(crate) leader: LeaderStatus,
    pub(crate) nomad: NomadStatus,
    pub(crate) policies: Vec<PolicyStatus>,
}

/// Who may change Nomad.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LeaderStatus {
    /// `leading`, `following` or `not_seeking`.
    pub(crate) state: String,
    pub(crate) holder: Option<String>,
}

/// The connection to Nomad.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct NomadStatus {
    pub(crate) state: String,
    pub(crate) error: Option<String>,
}

/// One policy.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct PolicyStatus {
    pub(crate) id: String,
    pub(crate) namespace: String,
    pub(crate) job: String,
    pub(crate) group: String,
    pub(crate) min: u64,
    pub(crate) max: u64,
    /// Mistakes for which it is not acted on.
    pub(crate) problems: Vec<String>,
    /// The last decision, with its inputs, as the scaler recorded it.
    pub(crate) last_decision: Option<serde_json::Value>,
}

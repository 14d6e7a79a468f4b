//! What `/v1/status` says: the state of every part, as it is now.
//!
//! Each loop publishes its own part on a watch channel; this module is only the shapes. They are an interface: names
//! are not changed lightly.

use std::borrow::Cow;
use std::collections::BTreeMap;

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
    /// What holds the requests of groups at zero, where block `wake` is configured: every pool for which it ever did.
    #[serde(default)]
    pub(crate) wake: Vec<WakeStatus>,
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

/// What holds one pool's requests while its group is at zero.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct WakeStatus {
    pub(crate) haproxy: String,
    pub(crate) backend: String,
    /// Where it listens; absent while it does not.
    pub(crate) address: Option<String>,
    /// Of the server `weir-wake` in HAProxy: `in_force`, `changing`, `unfit` or `off`.
    pub(crate) state: String,
    /// Why the pool cannot have it.
    pub(crate) why: Option<String>,
    /// Connections that it holds now.
    pub(crate) held: u64,
    /// Those that went on to an instance, since weir started.
    pub(crate) woken: u64,
    /// Those that waited for `deadline` and were closed.
    pub(crate) expired: u64,
    /// Those that were closed at once, as more than `max_connections`.
    pub(crate) refused: u64,
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
    /// A source of it came into force, this one or an earlier one.
    #[serde(default)]
    pub(crate) last_good: bool,
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
    /// Why it cannot be seen, or not all of it: with the socket's path.
    #[serde(default)]
    pub(crate) unseen: Option<String>,
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

/// An instance that is left out, and why. Without an `instance`, `service` names a listed service, or `key PATH` or
/// `section NAME` that stays as it was.
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
    /// `reloaded`, `commands`, `written`, `reload_pending`, `refused`, `failed`; or `mended`: it was refused or failed, is no
    /// longer offered, and all is in force.
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
    /// Mistakes of its newest version, which is not acted on.
    pub(crate) problems: Vec<String>,
    /// An earlier version, without a mistake, is in force.
    #[serde(default)]
    pub(crate) last_good: bool,
    /// The last decision, with its inputs, as the scaler recorded it.
    pub(crate) last_decision: Option<serde_json::Value>,
    /// When that was.
    #[serde(default)]
    pub(crate) decided: Option<Timestamp>,
    /// When HAProxy was in the state that it was made from.
    #[serde(default)]
    pub(crate) sampled: Option<Timestamp>,
    /// When the job was read.
    #[serde(default)]
    pub(crate) read: Option<Timestamp>,
    /// Instances on their way out.
    #[serde(default)]
    pub(crate) drain: Option<DrainStatus>,
    /// Why nothing can be taken away now, although it should.
    #[serde(default)]
    pub(crate) trouble: Option<String>,
    /// The deployment that is waited for, and what ends it.
    #[serde(default)]
    pub(crate) deployment: Option<String>,
    /// What came of the last count that was asked for, since weir started.
    #[serde(default)]
    pub(crate) last_scale: Option<ScaleStatus>,
    /// Decisions since weir started, by what they ask for: `up`, `down`, `hold`, `blocked`, `unknown`.
    #[serde(default)]
    pub(crate) decisions: BTreeMap<String, u64>,
    /// How long more was needed and Nomad refused to scale, since weir started.
    #[serde(default)]
    pub(crate) blocked_seconds: f64,
    /// How long the instances of the last increase took until they served.
    #[serde(default)]
    pub(crate) start_seconds: Option<f64>,
}

/// Instances on their way out.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct DrainStatus {
    /// The count that will be asked for.
    pub(crate) to: u64,
    /// `preparing`, `noting`, `waiting`, `asked` or `stopping`.
    pub(crate) stage: String,
    /// The same in words.
    pub(crate) words: String,
    /// How long sessions are waited for still.
    pub(crate) seconds_left: Option<f64>,
    pub(crate) instances: Vec<VictimStatus>,
}

/// One of them.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct VictimStatus {
    /// The number in its name.
    pub(crate) index: u64,
    pub(crate) allocation: String,
    /// As `BACKEND/SERVER`.
    pub(crate) servers: Vec<String>,
    /// Sessions that it still has, with requests that wait for it.
    pub(crate) sessions: u64,
    /// What it is waited for, in words.
    pub(crate) words: String,
}

/// A count that was asked for.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct ScaleStatus {
    pub(crate) at: Timestamp,
    pub(crate) from: u64,
    pub(crate) to: u64,
    /// Why it did not come about.
    pub(crate) error: Option<String>,
}

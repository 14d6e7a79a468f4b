//! What can be said about the connection to Consul at one moment.

use std::collections::BTreeMap;
use std::time::SystemTime;

use serde::Serialize;
use weir_pools::Query;

/// How Consul answers, for all that is asked of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Reach {
    /// Nothing was answered yet.
    Starting,
    /// It answers.
    Ok,
    /// It answers, but its servers have no leader.
    NoLeader,
    /// Something answers, which is not Consul's HTTP API.
    NotConsul,
    /// No connection, no answer in time, or one that broke off.
    Unreachable,
    /// HTTP 429, or connections closed at accept: too many connections from this machine.
    Refused,
    /// HTTP 5xx.
    Failing,
    /// The token cannot be read.
    Denied,
}

/// How services are followed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// One blocking query each.
    #[default]
    Narrow,
    /// A few blocking queries for all; what they show as changed is read.
    Wide,
}

/// The state of the connection to Consul.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Health {
    /// How Consul answers.
    pub state: Reach,
    /// Why it does not; `None` while it does.
    pub error: Option<String>,
    /// Since when `state` holds.
    pub since: SystemTime,
    /// Requests sent since the client was made, probes included.
    pub attempts: u64,
    /// How services are followed.
    pub mode: Mode,
    /// Blocking queries (and reads) that are being asked now.
    pub watches: usize,
    /// How often an answer came because something had changed.
    pub wakeups: u64,
    /// What holds up single queries while others are answered; their last answers stay.
    pub problems: BTreeMap<Query, String>,
}

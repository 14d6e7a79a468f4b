//! What HAProxy's worker has now, as far as a plan needs it. The `weir` crate fills it from `show servers state` and
//! `show stat`.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

/// The servers of a worker.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Observed {
    /// By backend and server. A backend without servers may be missing.
    pub pools: BTreeMap<String, BTreeMap<String, ObservedServer>>,
}

impl Observed {
    /// Adds a server.
    pub fn insert(&mut self, backend: impl Into<String>, server: impl Into<String>, state: ObservedServer) {
        self.pools.entry(backend.into()).or_default().insert(server.into(), state);
    }
}

/// One server in a worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObservedServer {
    /// Its `id`.
    pub id: u32,
    /// Where it connects to; `None` where that is no fixed IP address and port.
    pub address: Option<SocketAddr>,
    /// The weight that the configuration or a person gave it, 0 to 256 (`srv_uweight`).
    pub weight: u32,
    /// Its limit of sessions (`slim`); 0: none.
    pub maxconn: u32,
    /// What was set at run time, or by `disabled`.
    pub admin: Admin,
    /// HAProxy sends it nothing because of its checks (`srv_op_state` 0), whatever was set.
    pub is_down: bool,
    /// What its health check said last.
    pub check: CheckState,
    /// Sessions that it has now and that wait in its queue (`scur` and `qcur`).
    pub sessions: u64,
    /// It serves only while no other does (`bck`).
    pub is_backup: bool,
}

impl ObservedServer {
    /// Whether HAProxy gives it new sessions.
    pub fn serves(&self) -> bool {
        self.admin == Admin::Ready && self.is_healthy() && self.weight > 0
    }

    /// Whether nothing is known against it.
    pub(super) fn is_healthy(&self) -> bool {
        !self.is_down && self.check != CheckState::Failed
    }
}

/// The state that was set: the forced bits of `srv_admin_state`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Admin {
    /// In use, as far as its checks allow.
    Ready,
    /// Only those who already have a session on it come back to it.
    Drain,
    /// Nobody gets it, and it is not checked.
    Maint,
}

impl Admin {
    /// The word that `set server … state` takes.
    pub fn word(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Drain => "drain",
            Self::Maint => "maint",
        }
    }
}

/// What the health check of a server said last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CheckState {
    /// It has no check that runs.
    None,
    /// The check runs, but has not ended yet (`INI`).
    Unknown,
    /// Good.
    Passed,
    /// Bad.
    Failed,
}

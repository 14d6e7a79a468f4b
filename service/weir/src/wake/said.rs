//! What load balancers tell one another of the requests that they hold.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use weir_pools::plan::WakeState;

/// What is held for one HAProxy, by backend: those that it has and whose requests shall be held.
pub(crate) type Holds = BTreeMap<String, Said>;

/// How it stands with one backend.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Said {
    /// Connections that wait for an instance.
    pub(crate) waiting: u64,
    pub(crate) state: WakeState,
}

/// One HAProxy that runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Holder {
    /// How people call it.
    pub(crate) name: String,
    /// What it holds; nothing where its weir holds no requests.
    pub(crate) holds: Option<Holds>,
}

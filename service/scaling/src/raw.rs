//! A scaling policy as Nomad hands it out.

use serde::{Deserialize, Serialize};

/// A policy before it is understood: who it is for, the bounds that Nomad knows, and the block that Nomad does not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RawPolicy {
    /// Nomad's ID of the policy; it survives changes of the job.
    pub id: String,
    /// The job's namespace.
    pub namespace: String,
    /// The job.
    pub job: String,
    /// The task group.
    pub group: String,
    /// The fewest instances.
    pub min: u64,
    /// The most instances.
    pub max: u64,
    /// Whether it is in force; a stopped job's is not.
    pub enabled: bool,
    /// The index of its last change.
    pub modify_index: u64,
    /// The `policy` block: nested blocks are lists of single-key maps, attributes plain values. Null without one.
    pub policy: serde_json::Value,
}

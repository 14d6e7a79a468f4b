//! The intents of the cluster: followed in Consul, kept over outages and restarts, told to the pool loops.
//!
//! In: what the catalogue says of the folder `weir/CLUSTER/intents/`. Out: [`Known`] on a watch channel, and an event
//! to each loop when what is in force changes, by somebody's doing or because its time is over. A Consul that does not
//! answer, that lost its keys or that takes the permission to read them away ends no intent: what was known last
//! stays, in `intents.json` in the state directory too.

mod book;
mod follow;
mod words;

use std::sync::Arc;

use jiff::Timestamp;
use weir_pools::intents::{Intent, Intents, prefix};
use weir_pools::{KeyPair, Query};

use crate::status::IntentStatus;

pub(crate) use book::{Asked, Book, Noted, tidy_up};
pub(crate) use follow::{deliver, start};
pub(crate) use words::words;

/// What is known of the intents.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Known {
    /// What holds now.
    pub(crate) in_force: Arc<Intents>,
    /// The entries that it was read from, those whose time is over too.
    pub(crate) entries: Arc<[KeyPair]>,
    /// What is wrong, each with what to do.
    pub(crate) problems: Vec<String>,
}

impl Known {
    /// What is in force, as the status shows it.
    pub(crate) fn status(&self) -> Vec<IntentStatus> {
        self.in_force.iter().map(|(backend, server, intent)| status(backend, server, intent)).collect()
    }
}

/// The query that intents are read by.
pub(crate) fn query(cluster: &str) -> Query {
    Query::Prefix { path: prefix(cluster), datacenter: None }
}

fn status(backend: &str, server: &str, intent: &Intent) -> IntentStatus {
    IntentStatus {
        backend: backend.to_owned(),
        server: server.to_owned(),
        wish: intent.wish,
        owner: intent.owner.clone(),
        reason: intent.reason.clone(),
        since: Timestamp::try_from(intent.since).unwrap_or_default(),
        until: intent.until.and_then(|until| until.try_into().ok()),
        words: words(intent, Timestamp::now()),
    }
}

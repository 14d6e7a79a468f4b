//! Lasting wishes about servers that neither Consul's catalogue nor a template expresses: maintenance by a person, a
//! drain before a scale-down.
//!
//! In: the keys and values below `weir/CLUSTER/intents/` in Consul's KV, one key per backend, server and owner. Out:
//! [`Intents`]: what is wished of which server. An entry that cannot be read is [`Malformed`]; the others stay.
//! Several owners may wish something of one server: the strongest wish counts.

mod key;
mod value;

use std::collections::BTreeMap;
use std::fmt;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

pub use key::{Place, prefix};

/// A key below the prefix that is no intent: it says that the folder is there. Consul answers "no such keys" to who may
/// not read them, and after it lost everything; with this key, a folder without intents is told from both.
pub const ABOUT: &str = "about";

/// What is wished of a server. Ordered by strength.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Wish {
    /// The server `weir-wake` shall hold the pool's requests while its group is at zero; of another server it means
    /// nothing.
    Wake,
    /// No new sessions; those that it has go on.
    Drain,
    /// No sessions and no checks.
    Maint,
}

/// A wish about one server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Intent {
    /// What is wished.
    pub wish: Wish,
    /// Why, in the owner's words.
    pub reason: String,
    /// Whose wish it is: a person's user name, or a part of weir, such as `scaler:JOB/GROUP`.
    pub owner: String,
    /// When it was wished first; the epoch where the entry does not say.
    pub since: SystemTime,
    /// When it ends by itself.
    pub until: Option<SystemTime>,
}

impl Intent {
    /// Whether it has not ended by itself.
    pub fn is_in_force(&self, now: SystemTime) -> bool {
        self.until.is_none_or(|until| until > now)
    }

    /// By strength, and among equals by how long it holds.
    fn rank(&self) -> (Wish, bool, Option<SystemTime>) {
        (self.wish, self.until.is_none(), self.until)
    }
}

/// The intents of a cluster.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Intents {
    /// By backend, server and owner.
    servers: BTreeMap<String, BTreeMap<String, BTreeMap<String, Intent>>>,
}

/// An entry that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Malformed {
    /// Its key below the prefix.
    pub key: String,
    /// What is wrong with it.
    pub why: String,
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the intent {:?} in Consul cannot be read: {}", self.key, self.why)
    }
}

impl Intents {
    /// Reads entries: their keys below the prefix, and their values.
    pub fn read<'a>(entries: impl IntoIterator<Item = (&'a str, &'a str)>) -> (Self, Vec<Malformed>) {
        let (mut intents, mut malformed) = (Self::default(), Vec::new());
        for (key, text) in entries.into_iter().filter(|(key, _)| *key != ABOUT) {
            let read = Place::read(key).and_then(|place| Ok((value::read(text, &place.owner)?, place)));
            match read {
                Ok((intent, place)) => drop(intents.insert(&place.backend, &place.server, intent)),
                Err(why) => malformed.push(Malformed { key: key.to_owned(), why }),
            }
        }
        (intents, malformed)
    }

    /// Puts an intent in the place of its owner's earlier one, which is returned.
    pub fn insert(&mut self, backend: &str, server: &str, intent: Intent) -> Option<Intent> {
        let servers = self.servers.entry(backend.to_owned()).or_default();
        servers.entry(server.to_owned()).or_default().insert(intent.owner.clone(), intent)
    }

    /// All that is wished of a server, by owner.
    pub fn of(&self, backend: &str, server: &str) -> impl Iterator<Item = &Intent> {
        let owners = self.servers.get(backend).and_then(|servers| servers.get(server));
        owners.into_iter().flat_map(BTreeMap::values)
    }

    /// What counts of all that is wished of a server.
    pub fn strongest(&self, backend: &str, server: &str) -> Option<&Intent> {
        self.of(backend, server).max_by_key(|intent| intent.rank())
    }

    /// The intents that have not ended by themselves.
    #[must_use]
    pub fn in_force(&self, now: SystemTime) -> Self {
        let mut rest = Self::default();
        for (backend, server, intent) in self.iter().filter(|(.., intent)| intent.is_in_force(now)) {
            rest.insert(backend, server, intent.clone());
        }
        rest
    }

    /// When the next of them ends by itself.
    pub fn next_expiry(&self, now: SystemTime) -> Option<SystemTime> {
        self.iter().filter_map(|(.., intent)| intent.until).filter(|until| *until > now).min()
    }

    /// All of them with backend and server, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str, &Intent)> {
        self.servers.iter().flat_map(|(backend, servers)| {
            let all =
                servers.iter().flat_map(|(server, owners)| owners.values().map(move |one| (server, one)));
            all.map(move |(server, intent)| (backend.as_str(), server.as_str(), intent))
        })
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.servers.is_empty()
    }
}

#[cfg(test)]
mod tests;

//! What is known of servers beside the configuration: why one is not wanted, and what is wished of one that is.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Admin;
use crate::intents::{Intents, Wish};

/// Why an instance is not among the wanted servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// Its service does not list it any more, or it never stood there.
    #[default]
    Gone,
    /// It, or its node, is in maintenance mode.
    Maintenance,
    /// Its checks in Consul fail, or its agent is gone.
    Critical,
    /// Nobody answers at its address, or what ran there is known to have ended.
    Unreachable,
}

impl Wish {
    /// The state that fulfils it.
    pub(super) fn state(self) -> Admin {
        match self {
            // It is wished of a server that is there for nothing else.
            Self::Wake => Admin::Ready,
            Self::Drain => Admin::Drain,
            Self::Maint => Admin::Maint,
        }
    }

    /// The same, as the reason of a command.
    pub(super) fn why(self) -> &'static str {
        match self {
            Self::Wake => "an intent has it hold requests",
            Self::Drain => "an intent drains it",
            Self::Maint => "an intent has it in maintenance",
        }
    }
}

/// Wishes by backend and server.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wishes {
    by_backend: BTreeMap<String, BTreeMap<String, Wish>>,
}

impl Wishes {
    /// What is wished of a server.
    pub fn get(&self, backend: &str, server: &str) -> Option<Wish> {
        self.by_backend.get(backend)?.get(server).copied()
    }

    /// Wishes something of a server; of several wishes the stronger one counts.
    pub fn add(&mut self, backend: impl Into<String>, server: impl Into<String>, wish: Wish) {
        let servers = self.by_backend.entry(backend.into()).or_default();
        let stands = servers.entry(server.into()).or_insert(wish);
        *stands = wish.max(*stands);
    }

    /// What counts of all that is wished.
    pub fn of(intents: &Intents) -> Self {
        let mut wishes = Self::default();
        for (backend, server, intent) in intents.iter().filter(|(.., one)| one.wish != Wish::Wake) {
            wishes.add(backend, server, intent.wish);
        }
        wishes
    }

    /// The backends with wishes.
    pub fn backends(&self) -> impl Iterator<Item = &String> {
        self.by_backend.keys()
    }

    /// Every wish.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str, Wish)> {
        self.by_backend
            .iter()
            .flat_map(|(backend, servers)| servers.iter().map(|(name, wish)| (&**backend, &**name, *wish)))
    }
}

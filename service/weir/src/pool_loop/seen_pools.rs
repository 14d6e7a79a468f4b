//! The pools with their servers as the status shows them.
//!
//! A loop publishes what it shares anyway; the lists, which may hold thousands of servers, are put together only when somebody
//! asks.

use std::collections::BTreeMap;
#[cfg(test)]
use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::Timestamp;
use weir_pools::guard::{Pools, Share};
use weir_pools::intents::Intents;
use weir_pools::plan::{ByHand, Wait};
use weir_scaling::ServerState;

use super::cause::{Kept, Planned, cause};
use crate::status::{PoolStatus, ServerStatus};

/// The servers that were seen, by backend and `ADDRESS:PORT`. What did not change from look to look is the same in memory.
pub(crate) type SeenServers = BTreeMap<String, Arc<BTreeMap<String, SeenServer>>>;

/// A server as HAProxy had it when it was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SeenServer {
    /// Its name in HAProxy.
    pub(crate) name: String,
    pub(crate) state: ServerState,
    pub(crate) sessions: u64,
    /// Requests that wait for this server alone.
    pub(crate) queue: u64,
    /// When its state began, as far as that is known.
    pub(crate) since: Option<Timestamp>,
}

/// The servers that are kept in a pool.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct KeptServers {
    pub(super) servers: Vec<String>,
    /// How few are healthy, where that is why; otherwise the pool would be empty.
    pub(super) panic: Option<Share>,
}

impl KeptServers {
    /// Why they stay; nothing where none does.
    fn why(&self) -> Option<String> {
        match self.panic {
            _ if self.servers.is_empty() => None,
            Some(share) => Some(format!("panic: {share}")),
            None => Some("it would be empty".to_owned()),
        }
    }

    fn of(&self, server: &str) -> Option<Kept> {
        let why = if self.panic.is_some() { Kept::Critical } else { Kept::Gone };
        self.servers.iter().any(|kept| kept == server).then_some(why)
    }
}

/// What the status of pools is made from.
#[derive(Debug, Clone, Default)]
pub(crate) struct SeenPools {
    /// What each output wants.
    pub(super) outputs: Vec<Arc<Pools>>,
    pub(super) servers: Arc<SeenServers>,
    pub(super) intents: Arc<Intents>,
    /// What is kept, by backend.
    pub(super) kept: BTreeMap<String, KeptServers>,
    pub(super) waits: Vec<Wait>,
    pub(super) by_hand: Vec<ByHand>,
}

impl PartialEq for SeenPools {
    /// What is large is compared by where it is: equal lists in two places only make the status be published once more.
    fn eq(&self, other: &Self) -> bool {
        let same = |(mine, others): (&Arc<Pools>, &Arc<Pools>)| Arc::ptr_eq(mine, others);
        self.outputs.len() == other.outputs.len()
            && self.outputs.iter().zip(&other.outputs).all(same)
            && Arc::ptr_eq(&self.servers, &other.servers)
            && Arc::ptr_eq(&self.intents, &other.intents)
            && (&self.kept, &self.waits, &self.by_hand) == (&other.kept, &other.waits, &other.by_hand)
    }
}

impl SeenPools {
    /// Each pool with the servers that are wanted, and those on their way out.
    pub(crate) fn status(&self) -> Vec<PoolStatus> {
        self.outputs
            .iter()
            .flat_map(|output| output.iter())
            .map(|(backend, servers)| {
                let kept = self.kept.get(&**backend).cloned().unwrap_or_default();
                let leaving = self.leaving(backend).filter(|address| !servers.contains(address.as_str()));
                let all = servers.iter().chain(leaving);
                let servers = all.map(|server| self.server(backend, server, kept.of(server))).collect();
                let held = kept.why();
                PoolStatus { backend: backend.to_string(), servers, held, kept: kept.servers }
            })
            .collect()
    }

    /// The server that HAProxy knows by this name.
    pub(crate) fn server_named(&self, backend: &str, name: &str) -> Option<ServerStatus> {
        let seen = self.servers.get(backend).into_iter().flat_map(|servers| servers.iter());
        let address =
            seen.filter(|(_, server)| server.name == name).map(|(address, _)| address.as_str()).next();
        let is_wanted = |address: &str| {
            self.outputs
                .iter()
                .any(|output| output.get(backend).is_some_and(|servers| servers.contains(address)))
        };
        let address = address.or_else(|| is_wanted(name).then_some(name))?;
        Some(self.server(backend, address, None))
    }

    /// The addresses of servers that the plan still waits for.
    fn leaving<'a>(&'a self, backend: &'a str) -> impl Iterator<Item = &'a String> {
        let waited = self.waits.iter().filter(move |wait| wait.backend == backend);
        let names: Vec<&str> = waited.map(|wait| &*wait.server).collect();
        let seen = self.servers.get(backend).into_iter().flat_map(|servers| servers.iter());
        seen.filter(move |(_, server)| names.contains(&&*server.name)).map(|(address, _)| address)
    }

    /// `server` is its `ADDRESS:PORT`.
    fn server(&self, backend: &str, server: &str, kept: Option<Kept>) -> ServerStatus {
        let seen = self.servers.get(backend).and_then(|servers| servers.get(server));
        let name = seen.map_or(server, |seen| &seen.name);
        let state = seen.map(|seen| seen.state);
        let intent = self.intents.strongest(backend, name);
        let planned = Planned {
            wait: self.waits.iter().find(|wait| wait.backend == backend && wait.server == name),
            by_hand: self.by_hand.iter().find(|by_hand| by_hand.backend == backend && by_hand.server == name),
        };
        ServerStatus {
            name: name.to_owned(),
            address: server.to_owned(),
            state,
            sessions: seen.map(|seen| seen.sessions),
            queue: seen.map(|seen| seen.queue),
            since: seen.and_then(|seen| seen.since),
            cause: cause(state, intent, kept, planned),
        }
    }
}

#[cfg(test)]
impl SeenPools {
    /// One server in one pool, seen with its sessions or not at all.
    pub(crate) fn of_one(backend: &str, name: &str, address: &str, seen: Option<(ServerState, u64)>) -> Self {
        let servers = seen.map(|(state, sessions)| {
            let server = SeenServer { name: name.to_owned(), state, sessions, queue: 0, since: None };
            (backend.to_owned(), Arc::new(BTreeMap::from([(address.to_owned(), server)])))
        });
        let pools = Pools::from([(backend.into(), BTreeSet::from([address.to_owned()]).into())]);
        Self {
            outputs: vec![Arc::new(pools)],
            servers: Arc::new(servers.into_iter().collect()),
            ..Self::default()
        }
    }
}

//! HAProxy's servers by their addresses, from one reading of all processes.
//!
//! Made once for each reading: every policy looks for the servers of its instances in it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::SystemTime;

use weir_scaling::{BackendSample, Reading, Sample};

use super::drain::{Left, Server};

/// All servers of one reading.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Servers {
    /// When it was taken.
    pub(super) at: SystemTime,
    /// Whether a process did not answer, or none that takes new connections did.
    is_partial: bool,
    by_address: BTreeMap<SocketAddr, Vec<Seen>>,
    by_backend: BTreeMap<String, Vec<Pool>>,
}

/// A backend in one process.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Pool {
    leaving: bool,
    /// Whether a server of it is given new sessions.
    serves: bool,
    /// Where its servers connect to; nothing for one that has no fixed address.
    servers: BTreeSet<Option<SocketAddr>>,
}

impl Pool {
    fn of(sample: &Sample, backend: &BackendSample) -> Self {
        Self {
            leaving: sample.leaving,
            serves: backend.servers.iter().any(|server| server.state.serves()),
            servers: backend.servers.iter().map(|server| server.address).collect(),
        }
    }
}

/// A server in one process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Seen {
    server: Server,
    /// Whether its process takes no new connections.
    pub(super) leaving: bool,
    /// Whether it is given new sessions.
    pub(super) serves: bool,
    /// Sessions that it has.
    pub(super) sessions: u64,
    /// Requests that wait for it.
    queue: u64,
}

impl Servers {
    pub(super) fn of(reading: &Reading) -> Self {
        let mut by_address: BTreeMap<SocketAddr, Vec<Seen>> = BTreeMap::new();
        let mut by_backend: BTreeMap<String, Vec<Pool>> = BTreeMap::new();
        for sample in &reading.samples {
            for backend in &sample.backends {
                by_backend.entry(backend.name.clone()).or_default().push(Pool::of(sample, backend));
                for one in &backend.servers {
                    let Some(address) = one.address else { continue };
                    by_address.entry(address).or_default().push(Seen {
                        server: Server { backend: backend.name.clone(), name: one.name.clone() },
                        leaving: sample.leaving,
                        serves: !sample.leaving && one.state.serves(),
                        sessions: one.sessions,
                        queue: one.queue,
                    });
                }
            }
        }
        let is_partial = !reading.missing.is_empty() || reading.samples.iter().all(|sample| sample.leaving);
        Self { at: reading.at, is_partial, by_address, by_backend }
    }

    /// The servers that connect to these addresses, in every process.
    pub(super) fn at<'a>(&'a self, addresses: &'a BTreeSet<SocketAddr>) -> impl Iterator<Item = &'a Seen> {
        addresses.iter().filter_map(|address| self.by_address.get(address)).flatten()
    }

    /// The names of the servers at these addresses. Every load balancer has the same ones.
    pub(super) fn names(&self, addresses: &BTreeSet<SocketAddr>) -> BTreeSet<Server> {
        self.at(addresses).filter(|seen| !seen.leaving).map(|seen| seen.server.clone()).collect()
    }

    /// What the instance at these addresses still has to do. One that is listed in Consul and has no server
    /// yet may get one at any moment.
    pub(super) fn left(&self, addresses: &BTreeSet<SocketAddr>) -> Left {
        let is_young = !addresses.is_empty() && self.at(addresses).all(|seen| seen.leaving);
        Left {
            sessions: self.at(addresses).map(|seen| seen.sessions + seen.queue).sum(),
            takes_more: self.at(addresses).any(|seen| seen.serves),
            unknown: self.is_partial || is_young,
        }
    }

    /// The backend in every process that takes new connections.
    fn pools(&self, backend: &str) -> impl Iterator<Item = &Pool> {
        self.by_backend.get(backend).into_iter().flatten().filter(|pool| !pool.leaving)
    }

    /// Whether the backend has a server that serves, wherever it is (and if it is nowhere); no, where a process did not
    /// answer.
    pub(super) fn serves(&self, backend: &str) -> bool {
        !self.is_partial && self.pools(backend).all(|pool| pool.serves)
    }

    /// Whether the backend has servers elsewhere than at these addresses.
    pub(super) fn is_shared(&self, backend: &str, addresses: &BTreeSet<SocketAddr>) -> bool {
        let is_ours = |at: &Option<SocketAddr>| at.is_some_and(|at| addresses.contains(&at));
        self.pools(backend).any(|pool| !pool.servers.iter().all(is_ours))
    }

    /// Whether some HAProxy still has a server of this name.
    pub(super) fn has(&self, server: &Server) -> bool {
        self.by_address.values().flatten().any(|seen| seen.server == *server && !seen.leaving)
    }

    /// Where a server of this name connects to.
    pub(super) fn addresses_of(&self, server: &Server) -> BTreeSet<SocketAddr> {
        let is_it = |all: &[Seen]| all.iter().any(|seen| seen.server == *server);
        self.by_address.iter().filter(|(_, all)| is_it(all)).map(|(address, _)| *address).collect()
    }
}

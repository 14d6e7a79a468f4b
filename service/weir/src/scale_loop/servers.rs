//! HAProxy's servers by their addresses, from one reading of all processes.
//!
//! Made once for each reading: every policy looks for the servers of its instances in it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::SystemTime;

use weir_scaling::Reading;

use super::drain::{Left, Server};

/// All servers of one reading.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Servers {
    /// When it was taken.
    pub(super) at: SystemTime,
    /// Whether a process did not answer, or none that takes new connections did.
    is_partial: bool,
    by_address: BTreeMap<SocketAddr, Vec<Seen>>,
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
        for sample in &reading.samples {
            for backend in &sample.backends {
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
        Self { at: reading.at, is_partial, by_address }
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

    /// Where a server of this name connects to.
    pub(super) fn addresses_of(&self, server: &Server) -> BTreeSet<SocketAddr> {
        let is_it = |all: &[Seen]| all.iter().any(|seen| seen.server == *server);
        self.by_address.iter().filter(|(_, all)| is_it(all)).map(|(address, _)| *address).collect()
    }
}

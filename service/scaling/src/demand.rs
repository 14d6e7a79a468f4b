//! The work that one group of instances has, found in one reading of every HAProxy process.
//!
//! Work is what is in the system: sessions being served and requests that wait, in every process, old workers
//! too. It does not depend on how many instances there are, so a decision made from it does not chase itself.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::SystemTime;

use thiserror::Error;

use crate::sample::{BackendSample, Process, Sample, ServerSample, ServerState};

/// All samples taken at one time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reading {
    /// When.
    pub at: SystemTime,
    /// One sample from each process that answered.
    pub samples: Vec<Sample>,
    /// The processes that are known and did not answer, in words for people. Missing is not zero: what the
    /// others show is then a lower bound.
    pub missing: Vec<String>,
}

/// What one reading says about one group.
#[derive(Debug, Clone, PartialEq)]
pub struct Measure {
    /// When.
    pub at: SystemTime,
    /// Work in the system: requests served and waiting. Tunnels are not among these.
    pub work: f64,
    /// The part of the work that waits.
    pub queued: f64,
    /// Tunnels (websockets) that stay where they are and keep slots: also where an instance takes no new sessions as its checks
    /// fail.
    pub tunnels: f64,
    /// Those on instances that are drained: they end there, and need nothing elsewhere.
    pub left: f64,
    /// How many instances take new sessions in a current process.
    pub serving: u64,
    /// What one instance can do at once by its `maxconn`, over all current processes; `None` where a server
    /// line has none.
    pub slots: Option<f64>,
    /// Requests since the start of each process; differences of these are arrivals. By backend where the
    /// group has it for itself, else by server.
    pub totals: BTreeMap<Counter, u64>,
    /// Tunnels that began since the start of each process, by server.
    pub begun: BTreeMap<Counter, f64>,
    /// What waits where arrivals are counted by server, which counts a request when it gets it.
    pub undealt: BTreeMap<Counter, Undealt>,
    /// Responses 5xx since the start of each process, by backend; in a shared one they may be somebody
    /// else's.
    pub errors: BTreeMap<Counter, u64>,
    /// The processes that did not answer: with any, all of this is a lower bound.
    pub missing: Vec<String>,
}

/// What waits at a backend of which the group has a part.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Undealt {
    /// Requests that wait for one of the group's servers.
    pub bound: f64,
    /// Those that wait for any server of the backend.
    pub free: f64,
    /// The group's part of the latter.
    pub part: f64,
}

/// Whose counter it is. Two processes never share one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Counter {
    process: Process,
    backend: String,
    server: String,
}

impl Counter {
    /// The counter of one server in one process.
    pub fn of(process: Process, backend: &str, server: &str) -> Self {
        Self { process, backend: backend.to_owned(), server: server.to_owned() }
    }
}

/// Why nothing can be said about a group's work.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Unknown {
    /// A process is known and did not answer.
    #[error("HAProxy did not answer: {0}")]
    ProcessMissing(String),
    /// No process that takes new connections was read.
    #[error("no running HAProxy process was read")]
    NoProcess,
    /// No server connects to an instance of the group.
    #[error("no HAProxy server has the address of an instance of the group: is its service in a template?")]
    NoServer,
}

/// Finds the group's work in a reading. `instances` are the addresses of the group's instances.
pub fn measure(reading: &Reading, instances: &BTreeSet<SocketAddr>) -> Result<Measure, Unknown> {
    let missing = || Unknown::ProcessMissing(reading.missing.join(", "));
    if reading.samples.iter().all(|sample| sample.leaving) {
        return Err(if reading.missing.is_empty() { Unknown::NoProcess } else { missing() });
    }
    let shares: Vec<Share<'_>> =
        reading.samples.iter().flat_map(|sample| shares(sample, instances)).collect();
    let current: Vec<&Share<'_>> = shares.iter().filter(|share| !share.sample.leaving).collect();
    if current.is_empty() {
        return Err(if reading.missing.is_empty() { Unknown::NoServer } else { missing() });
    }
    let serving = serving(&current);
    let (tunnels, left) = tunnels(&shares, &serving);
    Ok(Measure {
        at: reading.at,
        tunnels,
        left,
        work: shares.iter().map(Share::work).sum(),
        queued: shares.iter().map(Share::queued).sum(),
        serving: serving.len() as u64,
        slots: slots(&current),
        totals: shares.iter().flat_map(Share::totals).collect(),
        begun: shares.iter().flat_map(Share::begun).collect(),
        undealt: shares.iter().filter(|share| !share.counts_whole()).map(Share::undealt).collect(),
        errors: shares.iter().map(Share::errors).collect(),
        missing: reading.missing.clone(),
    })
}

/// A backend of one process that has servers of the group.
struct Share<'a> {
    sample: &'a Sample,
    backend: &'a BackendSample,
    /// The group's servers.
    ours: Vec<&'a ServerSample>,
    /// Servers of others that take part: those that serve, or still have work. Empty slots, and backups that
    /// only wait, do not.
    others: Vec<&'a ServerSample>,
}

fn shares<'a>(
    sample: &'a Sample,
    instances: &'a BTreeSet<SocketAddr>,
) -> impl Iterator<Item = Share<'a>> + 'a {
    sample.backends.iter().filter_map(move |backend| {
        let is_ours = |server: &ServerSample| server.address.is_some_and(|at| instances.contains(&at));
        let (ours, others): (Vec<_>, Vec<_>) = backend.servers.iter().partition(|server| is_ours(server));
        let others = others.into_iter().filter(|server| takes_part(server)).collect();
        (!ours.is_empty()).then_some(Share { sample, backend, ours, others })
    })
}

fn takes_part(server: &ServerSample) -> bool {
    server.sessions + server.queue > 0 || (server.state.serves() && !server.backup)
}

impl Share<'_> {
    /// The backend's whole work where it is the group's alone; else that at its servers and its part of the
    /// queue.
    fn work(&self) -> f64 {
        if self.others.is_empty() {
            let tunnels: u64 = self.backend.servers.iter().map(|server| server.tunnels).sum();
            return self.backend.sessions.saturating_sub(tunnels) as f64;
        }
        let requests = |server: &&ServerSample| server.sessions.saturating_sub(server.tunnels);
        self.ours.iter().map(requests).sum::<u64>() as f64 + self.queued()
    }

    fn queued(&self) -> f64 {
        let Undealt { bound, free, part } = self.waiting();
        bound + free * part
    }

    fn waiting(&self) -> Undealt {
        let bound: u64 = self.ours.iter().map(|server| server.queue).sum();
        let part = if self.others.is_empty() { 1.0 } else { self.part() };
        Undealt { bound: bound as f64, free: self.unassigned(), part }
    }

    /// Requests that wait for any server of the backend.
    fn unassigned(&self) -> f64 {
        let assigned: u64 = self.backend.servers.iter().map(|server| server.queue).sum();
        self.backend.queue.saturating_sub(assigned) as f64
    }

    /// The group's part of the backend's capacity: by `maxconn` where every serving server has one, else by
    /// number.
    fn part(&self) -> f64 {
        let all = || self.ours.iter().chain(&self.others).filter(|server| server.state.serves());
        let by_maxconn = all().all(|server| server.maxconn.is_some());
        let weight = |server: &ServerSample| if by_maxconn { server.maxconn.unwrap_or(0) } else { 1 };
        let total: u64 = all().map(|server| weight(server)).sum();
        let ours: u64 =
            self.ours.iter().filter(|server| server.state.serves()).map(|server| weight(server)).sum();
        if total == 0 { 1.0 } else { ours as f64 / total as f64 }
    }

    /// Whether all that arrives at the backend is the group's.
    fn counts_whole(&self) -> bool {
        self.others.is_empty() && self.backend.requests > 0
    }

    fn totals(&self) -> Vec<(Counter, u64)> {
        if self.counts_whole() {
            return vec![(self.counter(""), self.backend.requests)];
        }
        self.ours.iter().map(|server| (self.counter(&server.name), server.total)).collect()
    }

    fn begun(&self) -> Vec<(Counter, f64)> {
        if !self.backend.has_had_tunnels() {
            return Vec::new();
        }
        let begun = |server: &&ServerSample| (self.counter(&server.name), server.tunnels_begun as f64);
        self.ours.iter().map(begun).collect()
    }

    fn undealt(&self) -> (Counter, Undealt) {
        (self.counter(""), self.waiting())
    }

    fn errors(&self) -> (Counter, u64) {
        (self.counter(""), self.backend.errors)
    }

    fn counter(&self, server: &str) -> Counter {
        Counter::of(self.sample.process, &self.backend.name, server)
    }
}

/// The instances that take new sessions.
fn serving(current: &[&Share<'_>]) -> BTreeSet<SocketAddr> {
    let servers = current.iter().flat_map(|share| &share.ours);
    servers.filter(|server| server.state.serves()).filter_map(|server| server.address).collect()
}

/// The group's tunnels: those that stay, and those on instances that are drained in every process.
fn tunnels(shares: &[Share<'_>], serving: &BTreeSet<SocketAddr>) -> (f64, f64) {
    let serves = |server: &ServerSample| server.address.is_some_and(|at| serving.contains(&at));
    let leaves = |server: &ServerSample| server.state == ServerState::Drain && !serves(server);
    let servers = shares.iter().flat_map(|share| &share.ours);
    let (left, stay): (Vec<_>, Vec<_>) = servers.partition(|server| leaves(server));
    let sum = |servers: Vec<&&ServerSample>| servers.iter().map(|server| server.tunnels).sum::<u64>() as f64;
    (sum(stay), sum(left))
}

/// The mean over the group's instances of what all current processes together let one have at once. `maxconn`
/// holds in each process by itself; in several backends of one process, the largest counts, since the
/// instance behind them is the same. One that is not in as many processes as others is on its way, and tells nothing yet.
fn slots(current: &[&Share<'_>]) -> Option<f64> {
    let mut largest: BTreeMap<SocketAddr, BTreeMap<Process, u64>> = BTreeMap::new();
    for share in current {
        for server in &share.ours {
            let of = largest.entry(server.address?).or_default().entry(share.sample.process).or_default();
            *of = (*of).max(server.maxconn?);
        }
    }
    let most = largest.values().map(BTreeMap::len).max()?;
    let there: Vec<u64> =
        largest.values().filter(|each| each.len() == most).map(|each| each.values().sum()).collect();
    let slots = there.iter().sum::<u64>() as f64 / there.len() as f64;
    (slots > 0.0).then_some(slots)
}

#[cfg(test)]
mod tests;

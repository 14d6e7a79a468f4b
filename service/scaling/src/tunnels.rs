//! Which sessions are tunnels: websockets, which last and do not move to new instances.
//!
//! HAProxy counts the tunnels that began by server, and those that ended by backend. In: the samples of each process, one after
//! the other. Out: in each [`ServerSample`](crate::ServerSample), how many of its sessions are open tunnels. Their sum over a
//! backend is right. On which server those were that ended is not said: none has more than its sessions, and where that
//! leaves a choice they are shared out. What began on a server that was deleted before the first sample is not known: then
//! there are too few, and the rest count as requests.

use std::collections::BTreeMap;

use crate::sample::{BackendSample, Process, Sample, ServerSample};

/// What was open at the samples before.
#[derive(Debug, Clone, Default)]
pub struct Tunnels {
    processes: BTreeMap<Process, Kept>,
}

/// One process.
#[derive(Debug, Clone, Default)]
struct Kept {
    /// How many looks in a row did not show it.
    missed: u32,
    backends: BTreeMap<String, Known>,
}

/// Looks that a process may be missing in, half a minute or more: it may not have answered in time.
const MISSED: u32 = 60;

/// One backend of one process.
#[derive(Debug, Clone, Default)]
struct Known {
    ended: u64,
    open: u64,
    servers: BTreeMap<String, Server>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Server {
    total: u64,
    begun: u64,
    open: u64,
}

impl Tunnels {
    /// Fills in the open tunnels of one look at all processes. One that many looks in a row do not show is forgotten.
    pub fn fill<'s>(&mut self, samples: impl IntoIterator<Item = &'s mut Sample>) {
        self.processes.retain(|_, kept| kept.missed < MISSED);
        self.processes.values_mut().for_each(|kept| kept.missed += 1);
        for sample in samples {
            let kept = self.processes.entry(sample.process).or_default();
            let backends = after(std::mem::take(&mut kept.backends), sample);
            *kept = Kept { missed: 0, backends };
        }
    }
}

/// Fills in one process, and keeps what its backends had. Nothing is kept of those that never had a tunnel.
fn after(mut before: BTreeMap<String, Known>, sample: &mut Sample) -> BTreeMap<String, Known> {
    let fill = |backend: &mut BackendSample| {
        let known = before.remove(&backend.name);
        let known = known.or_else(|| backend.has_had_tunnels().then(Known::default))?;
        Some((backend.name.clone(), known.after(backend)))
    };
    sample.backends.iter_mut().filter_map(fill).collect()
}

impl Known {
    /// Fills in what is open now, and keeps it.
    fn after(&self, backend: &mut BackendSample) -> Self {
        let mut open = self.open;
        for server in &mut backend.servers {
            let before = self.servers.get(&server.name).copied().unwrap_or_default();
            server.tunnels = before.open_with(server);
            open = (open + server.tunnels).saturating_sub(before.open);
            server.tunnels = server.tunnels.min(server.sessions);
        }
        let open = open.saturating_sub(since(self.ended, backend.tunnels_ended));
        Self {
            ended: backend.tunnels_ended,
            open: settle(&mut backend.servers, open),
            servers: kept(backend),
        }
    }
}

fn kept(backend: &BackendSample) -> BTreeMap<String, Server> {
    let kept = |server: &ServerSample| Server {
        total: server.total,
        begun: server.tunnels_begun,
        open: server.tunnels,
    };
    backend.servers.iter().map(|server| (server.name.clone(), kept(server))).collect()
}

impl Server {
    /// Open with those that began, before any that ended. Where there are fewer sessions in all the counters were cleared.
    /// What was taken for a tunnel for its interim response is none once the final one is there.
    fn open_with(self, server: &ServerSample) -> u64 {
        let begun = if server.total < self.total { 0 } else { self.begun };
        (self.open + server.tunnels_begun).saturating_sub(begun)
    }
}

/// What was counted since; one that went down was cleared.
fn since(before: u64, now: u64) -> u64 {
    if now < before { now } else { now - before }
}

/// Has the servers' tunnels add up to `open`: what is too much is taken from each in proportion to what it has, what is
/// missing is given in proportion to its other sessions. Returns what they add up to: no more than the sessions.
fn settle(servers: &mut [ServerSample], open: u64) -> u64 {
    let told: u64 = servers.iter().map(|server| server.tunnels).sum();
    if let Some(missing) = open.checked_sub(told) {
        let room: Vec<u64> = servers.iter().map(|server| server.sessions - server.tunnels).collect();
        let given = shares(missing, &room);
        servers.iter_mut().zip(given).for_each(|(server, given)| server.tunnels += given);
    } else {
        let there: Vec<u64> = servers.iter().map(|server| server.tunnels).collect();
        let taken = shares(told - open, &there);
        servers.iter_mut().zip(taken).for_each(|(server, taken)| server.tunnels -= taken);
    }
    servers.iter().map(|server| server.tunnels).sum()
}

/// Shares an amount out in proportion to what there is, never more than that.
fn shares(amount: u64, there: &[u64]) -> impl Iterator<Item = u64> {
    let all = there.iter().sum::<u64>().max(1);
    let (mut passed, mut before) = (0, 0);
    there.iter().map(move |part| {
        passed += part;
        let due = amount.min(all) * passed / all;
        due - std::mem::replace(&mut before, due)
    })
}

#[cfg(test)]
mod tests;

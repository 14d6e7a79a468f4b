//! What one HAProxy process showed at one moment.

use std::net::SocketAddr;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

/// One reading of one HAProxy worker process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sample {
    /// When it was taken.
    pub at: SystemTime,
    /// The process it comes from.
    pub process: Process,
    /// Whether it takes no new connections: an old worker that only finishes its sessions, or the process of
    /// a load balancer that stands by. Its work counts, its `maxconn` is no capacity.
    pub leaving: bool,
    /// Its backends, in the order HAProxy lists them.
    pub backends: Vec<BackendSample>,
}

/// The identity of a process: counters of two processes are never subtracted from one another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Process {
    /// The node that it runs on: another machine has the same process IDs. 0 is the own one; other numbers
    /// are made of where a node's weir listens, and stay the same.
    #[serde(default)]
    pub node: u64,
    /// Process ID.
    pub pid: u32,
    /// Seconds since the epoch at which it started, to within a second or two: a reused pid is another
    /// process.
    pub started: u64,
}

/// One backend in one process. By default it has nothing to do.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackendSample {
    /// The backend's name.
    pub name: String,
    /// Work in the system: sessions being served *and* those waiting in the queue (`scur` of the BACKEND row,
    /// which contains `qcur`; measured on 2.6.12: 20 = 2 served + 18 queued).
    pub sessions: u64,
    /// Requests that wait for a server: `qcur` of the BACKEND row plus that of its servers' own queues.
    pub queue: u64,
    /// Requests that arrived since the process started, those on kept connections and those that wait included (`stot`;
    /// `req_tot` counts them only at their end, on 2.6 to 3.2).
    pub requests: u64,
    /// Responses 5xx since the process started.
    pub errors: u64,
    /// Tunnels (websockets) that ended since the process started: `hrsp_1xx`, which a backend counts at the end.
    #[serde(default)]
    pub tunnels_ended: u64,
    /// Its servers, in the order HAProxy lists them.
    pub servers: Vec<ServerSample>,
}

impl BackendSample {
    /// Whether any of its sessions was a tunnel, as far as its counters tell.
    pub(crate) fn has_had_tunnels(&self) -> bool {
        self.tunnels_ended > 0 || self.servers.iter().any(|server| server.tunnels_begun > 0)
    }

    /// Whether the next look should come sooner than usual, after one that showed `before`: more wait by more than chance,
    /// and so many arrive that half a period tells how many they are.
    pub fn is_pressed(&self, before: &Self) -> bool {
        /// Half of them are off by a fifth.
        const ENOUGH: u64 = 50;
        let arrived = self.requests.saturating_sub(before.requests);
        let grown = self.queue.saturating_sub(before.queue);
        // Arrivals spread by the square root of their number; twice that is rare.
        arrived >= ENOUGH && grown as f64 > 2.0 * (arrived as f64).sqrt()
    }
}

/// One server in one process. By default it is idle and not checked.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerSample {
    /// The server's name.
    pub name: String,
    /// Where it connects to; `None` where HAProxy shows none (unresolved, or a unix socket).
    pub address: Option<SocketAddr>,
    /// Its state.
    pub state: ServerState,
    /// Sessions that it serves (`scur` of a server row, without queued ones).
    pub sessions: u64,
    /// Requests bound to this server that wait for it.
    pub queue: u64,
    /// `maxconn` of the server line in this process (`slim`); `None` where it has none.
    pub maxconn: Option<u64>,
    /// Sessions since the process started.
    pub total: u64,
    /// Tunnels (websockets) that began since the process started. With interim responses (100, 103) it may be some too many.
    #[serde(default)]
    pub tunnels_begun: u64,
    /// How many of its sessions are tunnels that are open, as far as [`Tunnels`](crate::Tunnels) can tell.
    #[serde(default)]
    pub tunnels: u64,
    /// Whether it only serves when no other does.
    pub backup: bool,
    /// Seconds since HAProxy changed its state (`lastchg`); `None` where it does not say. A server that was
    /// down already when it was put in maintenance keeps the older time (2.6.12).
    #[serde(default)]
    pub unchanged_for: Option<u64>,
}

/// What HAProxy makes of a server now, from the `status` column.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ServerState {
    /// Checked and up, or going down or up with checks still passing.
    Up,
    /// Not checked, so taken for up.
    #[default]
    NoCheck,
    /// Checks fail.
    Down,
    /// Takes no new sessions, finishes those it has.
    Drain,
    /// Taken out.
    Maint,
}

impl ServerState {
    /// Whether new sessions may go to it.
    pub fn serves(self) -> bool {
        matches!(self, Self::Up | Self::NoCheck)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_presses_where_it_grows_by_more_than_chance() {
        let backend = |requests, queue| BackendSample {
            name: "web".into(),
            sessions: queue,
            queue,
            requests,
            ..BackendSample::default()
        };
        let pressed =
            |from: (u64, u64), to: (u64, u64)| backend(to.0, to.1).is_pressed(&backend(from.0, from.1));
        assert!(pressed((1000, 0), (1300, 40)), "300 arrived, 40 more wait");
        assert!(!pressed((1000, 0), (1300, 30)), "chance");
        assert!(!pressed((1000, 90), (1300, 90)), "it waits, and does not grow");
        assert!(!pressed((1000, 0), (1040, 40)), "half of so few arrivals tell little");
        assert!(!pressed((1000, 0), (7, 40)), "counters were cleared");
    }
}

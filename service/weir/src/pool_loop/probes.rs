//! Whether anybody still answers at the address of a server that is drained.
//!
//! A task that was killed leaves Consul without ever being critical (measured: within 22 ms). In a drain, clients that stick to it
//! would still be sent there; so a connect that fails puts it into maintenance. Bounded in time and number; what is not
//! known leaves the drain as it is.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use tokio::net::TcpStream;

/// How long a connect may take; a host that is down does not answer at all.
const PATIENCE: Duration = Duration::from_secs(1);
/// How often an address is tried again.
const PERIOD: Duration = Duration::from_secs(1);
/// Addresses that are tried at once.
const MOST: usize = 64;

/// Which addresses were tried, and where nobody answered.
#[derive(Debug, Default)]
pub(super) struct Probes {
    tried: BTreeMap<SocketAddr, Instant>,
    unreachable: BTreeSet<SocketAddr>,
    is_under_way: bool,
}

impl Probes {
    /// Where nobody answers.
    pub(super) fn unreachable(&self) -> &BTreeSet<SocketAddr> {
        &self.unreachable
    }

    /// Which of the `draining` addresses to try now. Those that drain no longer are forgotten, but for the dead ones that `leave`.
    pub(super) fn due(&mut self, now: Instant, draining: &BTreeSet<SocketAddr>) -> Vec<SocketAddr> {
        let is_recent = |at: &Instant| now.duration_since(*at) < PERIOD;
        self.tried.retain(|address, at| draining.contains(address) || is_recent(at));
        self.unreachable.retain(|address| draining.contains(address) || self.tried.contains_key(address));
        if self.is_under_way {
            return Vec::new();
        }
        let due = draining.iter().filter(|address| !self.tried.get(address).is_some_and(is_recent));
        let due: Vec<SocketAddr> = due.take(MOST).copied().collect();
        self.tried.extend(due.iter().map(|address| (*address, now)));
        self.is_under_way = !due.is_empty();
        due
    }

    /// Takes up what was found. Returns whether anything is news.
    pub(super) fn found(&mut self, found: Vec<(SocketAddr, bool)>) -> bool {
        self.is_under_way = false;
        let before = self.unreachable.clone();
        for (address, answers) in found {
            if answers {
                self.unreachable.remove(&address);
            } else {
                self.unreachable.insert(address);
            }
        }
        before != self.unreachable
    }
}

/// Tries to connect to each address.
pub(super) async fn probe(addresses: Vec<SocketAddr>) -> Vec<(SocketAddr, bool)> {
    let one = |address| async move {
        let connected = tokio::time::timeout(PATIENCE, TcpStream::connect(address)).await;
        (address, matches!(connected, Ok(Ok(_))))
    };
    join_all(addresses.into_iter().map(one)).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_answers_is_told_from_who_does_not() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let alive = listener.local_addr().unwrap();
        let gone = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let dead = gone.local_addr().unwrap();
        drop(gone);
        let mut probes = Probes::default();
        let (now, draining) = (Instant::now(), BTreeSet::from([alive, dead]));
        let due = probes.due(now, &draining);
        assert_eq!(due.len(), 2);
        assert!(probes.due(now, &draining).is_empty(), "one at a time");
        assert!(probes.found(probe(due).await));
        assert_eq!(probes.unreachable(), &BTreeSet::from([dead]));
        assert!(probes.due(now, &draining).is_empty(), "not again so soon");
        assert_eq!(probes.due(now + PERIOD, &draining).len(), 2);
        assert!(!probes.found(vec![(alive, true), (dead, false)]));
        probes.due(now + PERIOD * 3, &BTreeSet::new());
        assert!(probes.unreachable().is_empty());
    }
}
